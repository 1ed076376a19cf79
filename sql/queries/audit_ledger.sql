-- Question: does each ledger row add up?
-- Grain: one row per ledger row and rule that it breaks; none where all is well.
-- Units: counts and offsets.
-- Time column: none; the whole ledger.
-- Cost: small; one row per span of the log.
-- Parameters: limit, the most rows to return.
SELECT
    source,
    source_partition,
    segment,
    first_offset,
    broken.1 AS rule,
    broken.2 AS expected,
    broken.3 AS found
FROM {database}.ledger
ARRAY JOIN arrayFilter(
    checked -> checked.2 != checked.3,
    [
        ('offsets read = records + gaps', version - first_offset, records + gaps),
        (
            'items = events - incomplete events + duplicates + rejects + parts + evaluations',
            items,
            events - incomplete_events + duplicates + rejects + parts + evaluations
        ),
        ('rejects = sum of the reasons', rejects, arraySum(mapValues(rejects_by_reason))),
        ('test events are events', test_events, least(test_events, events)),
        ('incomplete events are events', incomplete_events, least(incomplete_events, events)),
        ('each waiting part has offset and position', toInt64(length(pending_offsets)), toInt64(length(pending_items))),
        ('waiting parts have been read', version, greatest(version, arrayMax(arrayPushBack(pending_offsets, -1)) + 1)),
        ('the first offset is one of the segment', first_offset, least(greatest(first_offset, segment * 65536), (segment + 1) * 65536)),
        ('reading ends with the segment', version, least(version, (segment + 1) * 65536)),
        ('nothing is negative', 0, toInt64(
            least(records, gaps, events, test_events, incomplete_events, duplicates, rejects, parts, evaluations, lost) < 0
        ))
    ]
) AS broken
ORDER BY source, source_partition, segment, first_offset, rule
LIMIT {limit:UInt32}
