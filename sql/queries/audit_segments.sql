-- Question: does each ledger row go on where the one before it ended?
-- Grain: one row per hole (missing above 0) or overlap (below 0) between two ledger rows of a partition; none where all is well.
-- Units: offsets. Offsets that retention took (`lost`) are known and no hole.
-- Time column: none; the whole ledger.
-- Cost: small; one row per span of the log.
-- Parameters: limit, the most rows to return.
SELECT
    source,
    source_partition,
    segment,
    read_up_to,
    next_segment,
    next_first_offset,
    assumeNotNull(next_first_offset - next_lost) - read_up_to AS missing
FROM (
    SELECT
        source,
        source_partition,
        segment,
        version AS read_up_to,
        leadInFrame(toNullable(segment)) OVER following AS next_segment,
        leadInFrame(toNullable(first_offset)) OVER following AS next_first_offset,
        leadInFrame(toNullable(lost)) OVER following AS next_lost
    FROM {database}.ledger
    WINDOW following AS (
        PARTITION BY source, source_partition ORDER BY segment, first_offset ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING
    )
)
WHERE next_segment IS NOT NULL AND missing != 0
ORDER BY source, source_partition, segment, read_up_to
LIMIT {limit:UInt32}
