-- Question: is every event that the ledger counts stored, and no other?
-- Grain: one row per segment whose counts differ; none where all is well.
-- Units: events. `occurrences` are the places in the log that an insert has named; each accepted event has one.
-- Time column: none; the whole log, without segments whose rows have reached the end of their retention.
-- Cost: reads four small columns of all occurrences.
-- Parameters: limit, the most rows to return; windows_days, the retention of occurrences, 0 = for ever.
SELECT
    source,
    source_partition,
    segment,
    sum(counted) AS ledger_events,
    sum(stored) AS occurrences
FROM (
    SELECT source, source_partition, segment, events AS counted, 0 AS stored, stored_at
    FROM {database}.ledger
    UNION ALL
    SELECT source, source_partition, intDiv(source_offset, 65536), 0, 1, stored_at
    FROM {database}.llm_occurrences FINAL
)
GROUP BY source, source_partition, segment
HAVING ledger_events != occurrences
    AND (
        {windows_days:UInt32} = 0
        OR min(stored_at) >= now() - toIntervalDay({windows_days:UInt32}) + toIntervalHour(1)
    )
ORDER BY source, source_partition, segment
LIMIT {limit:UInt32}
