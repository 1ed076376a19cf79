-- Question: which events did producers send again so late, or to another partition, that the windows count them again?
-- Grain: one row per repeated occurrence: the place that has no row, and the place of the row that stands for it.
-- Units: offsets.
-- Time column: window_start, the minute that counts the event once more.
-- Cost: that of `collapsed_occurrences`.
-- Parameters: limit, the most rows to return; events_days, the retention of events, 0 = for ever.
-- `llm_events` is exact; duplicates within a segment are counted by the ledger and by no window.
SELECT
    event_id,
    window_start,
    source,
    source_partition,
    source_offset,
    source_index,
    e.source AS kept_source,
    e.source_partition AS kept_partition,
    e.source_offset AS kept_offset
FROM {database}.collapsed_occurrences(events_days = {events_days:UInt32}) AS c
LEFT ANY JOIN (
    SELECT event_id, source, source_partition, source_offset
    FROM {database}.llm_events FINAL
    WHERE event_id IN (
        SELECT event_id FROM {database}.collapsed_occurrences(events_days = {events_days:UInt32})
    )
) AS e ON c.event_id = e.event_id
WHERE c.event_id != ''
ORDER BY c.source, c.source_partition, c.source_offset, c.source_index
LIMIT {limit:UInt32}
