-- Question: does the view `events` hold an event twice?
-- Grain: one row per event_id with more than one row; none where all is well.
-- Units: rows.
-- Time column: timestamp, from since (included) to until (excluded).
-- Cost: holds a hash of each event_id of the time asked for, on disk past a gigabyte.
-- Parameters: since, until; limit, the most rows to return.
-- It happens where a producer sends one event_id with two times or services: the key of `llm_events` has both.
SELECT
    any(e.event_id) AS event_id,
    count() AS rows,
    groupUniqArray(5)(service) AS services,
    min(timestamp) AS first_timestamp,
    max(timestamp) AS last_timestamp
FROM {database}.events AS e
WHERE timestamp >= {since:DateTime('UTC')} AND timestamp < {until:DateTime('UTC')}
GROUP BY sipHash128(e.event_id)
HAVING rows > 1
ORDER BY event_id
LIMIT {limit:UInt32}
SETTINGS max_bytes_before_external_group_by = 1000000000
