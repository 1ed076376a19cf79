-- Question: is every evaluation that the ledger counts stored, and no other?
-- Grain: one row per segment whose counts differ; none where all is well.
-- Units: evaluations. `evaluation_rows` are their places in the log in `llm_evaluations`.
-- Time column: none; the whole log, without segments whose rows have reached the end of their retention.
-- Cost: reads four small columns of all evaluations.
-- Parameters: limit, the most rows to return; evaluations_days, the retention of evaluations, 0 = for ever.
SELECT
    source,
    source_partition,
    segment,
    sum(counted) AS ledger_evaluations,
    sum(stored) AS evaluation_rows
FROM (
    SELECT source, source_partition, segment, evaluations AS counted, 0 AS stored, stored_at
    FROM {database}.ledger
    UNION ALL
    SELECT source, source_partition, intDiv(source_offset, 65536), 0, 1, stored_at
    FROM {database}.llm_evaluations FINAL
)
GROUP BY source, source_partition, segment
HAVING ledger_evaluations != evaluation_rows
    AND (
        {evaluations_days:UInt32} = 0
        OR min(stored_at) >= now() - toIntervalDay({evaluations_days:UInt32}) + toIntervalHour(1)
    )
ORDER BY source, source_partition, segment
LIMIT {limit:UInt32}
