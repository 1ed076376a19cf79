-- Question: which stored events have vanished from `llm_events`?
-- Grain: one row per occurrence whose event has no row at all, there or elsewhere; none where all is well.
-- Units: offsets.
-- Time column: window_start.
-- Cost: that of `collapsed_occurrences`.
-- Parameters: limit, the most rows to return; events_days, the retention of events, 0 = for ever.
SELECT source, source_partition, source_offset, source_index, window_start
FROM {database}.collapsed_occurrences(events_days = {events_days:UInt32})
WHERE event_id = ''
ORDER BY source, source_partition, source_offset, source_index
LIMIT {limit:UInt32}
