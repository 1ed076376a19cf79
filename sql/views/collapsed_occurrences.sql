-- Question: which events of the log have no row of their own in `llm_events`, and which row stands for them?
-- Use: SELECT … FROM collapsed_occurrences(events_days = 90), the retention of events in days, 0 = for ever.
-- Grain: one row per occurrence (source, source_partition, source_offset, source_index).
-- Units: none. `event_id` is the event that holds the row: the same event at another place in the log; '' means that
--   no row is there, so the event is lost.
-- Time column: window_start of the occurrence.
-- Cost: counts both tables by segment (all of the log), then compares place by place where the counts differ.
-- Rows whose retention has ended are left out, with an hour to spare.
CREATE OR REPLACE VIEW {database}.collapsed_occurrences
AS WITH
    kept_occurrences AS (
        SELECT *, intDiv(source_offset, 65536) AS segment
        FROM {database}.llm_occurrences FINAL
        WHERE {events_days:UInt32} = 0
            OR stored_at >= now() - toIntervalDay({events_days:UInt32}) + toIntervalHour(1)
    ),
    event_places AS (
        SELECT source, source_partition, intDiv(source_offset, 65536) AS segment, source_offset, source_index
        FROM {database}.llm_events FINAL
        WHERE {events_days:UInt32} = 0
            OR stored_at >= now() - toIntervalDay({events_days:UInt32}) + toIntervalHour(1)
    ),
    short_segments AS (
        SELECT source, source_partition, segment
        FROM (
            SELECT source, source_partition, segment, 1 AS occurrences, 0 AS event_rows FROM kept_occurrences
            UNION ALL
            SELECT source, source_partition, segment, 0, 1 FROM event_places
        )
        GROUP BY source, source_partition, segment
        HAVING sum(occurrences) != sum(event_rows)
    ),
    without_row AS (
        SELECT source, source_partition, source_offset, source_index, window_start, event_hash
        FROM kept_occurrences
        WHERE (source, source_partition, segment) IN (SELECT source, source_partition, segment FROM short_segments)
            AND (source, source_partition, source_offset, source_index) NOT IN (
                SELECT source, source_partition, source_offset, source_index
                FROM event_places
                WHERE (source, source_partition, segment) IN (
                    SELECT source, source_partition, segment FROM short_segments
                )
            )
    )
SELECT
    w.source AS source,
    w.source_partition AS source_partition,
    w.source_offset AS source_offset,
    w.source_index AS source_index,
    w.window_start AS window_start,
    w.event_hash AS event_hash,
    e.event_id AS event_id
FROM without_row AS w
LEFT ANY JOIN (
    SELECT cityHash64(event_id) AS event_hash, event_id
    FROM {database}.llm_events FINAL
    WHERE cityHash64(event_id) IN (SELECT event_hash FROM without_row)
) AS e ON w.event_hash = e.event_hash
COMMENT 'Occurrences without a row of their own: sent twice, or lost; collapsed_occurrences(events_days = 90).';
