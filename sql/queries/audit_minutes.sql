-- Question: do windows and events agree, minute by minute?
-- Grain: one row per minute and measure that differs; none where all is well.
-- Units: calls, tokens, USD, all as decimals; `unexplained` = in_windows - in_events - in_duplicates.
-- Time column: window_start, from since (included) to until (excluded), whole minutes.
-- Cost: reads events and windows of the time asked for once, and `collapsed_occurrences`.
-- Parameters: since, until; events_days, the retention of events, 0 = for ever; limit, the most rows to return.
-- `in_duplicates` is what events sent again across segments or partitions add to the windows. A difference that they
-- explain to the last digit is no error of the pipeline; the windows are too high by it all the same.
-- `explanation`: `sent again`, to the last digit; `sent again with other values?`, calls are explained and sums are not, as
-- where the copy in the windows differs from the one that is kept (its values are not stored, so this is no proof); else
-- `none`, and those rows come first.
-- Minutes with rows whose retention has ended are left out.
WITH
    ['calls', 'test_calls', 'errors', 'input_tokens', 'output_tokens', 'cache_read_input_tokens', 'cost_usd', 'priced_calls'] AS measures,
    expired_minutes AS (
        SELECT DISTINCT window_start
        FROM (
            SELECT window_start, stored_at FROM {database}.llm_occurrences
            UNION ALL
            SELECT window_start, stored_at FROM {database}.windows_in_force
        )
        WHERE {events_days:UInt32} != 0
            AND stored_at < now() - toIntervalDay({events_days:UInt32}) + toIntervalHour(1)
            AND window_start >= {since:DateTime('UTC')} AND window_start < {until:DateTime('UTC')}
    ),
    repeated AS (
        SELECT event_hash, window_start, count() AS times
        FROM {database}.collapsed_occurrences(events_days = {events_days:UInt32})
        WHERE event_id != ''
        GROUP BY event_hash, window_start
    ),
    sides AS (
        SELECT
            w.window_start AS window_start,
            [
                w.calls, w.test_calls, w.errors, w.input_tokens, w.output_tokens, w.cache_read_input_tokens,
                w.cost_usd, w.priced_calls
            ]::Array(Decimal(38, 12)) AS of_windows,
            arrayMap(measure -> 0, measures)::Array(Decimal(38, 12)) AS of_events,
            of_events AS of_duplicates
        FROM {database}.windows AS w
        WHERE w.window_start >= {since:DateTime('UTC')} AND w.window_start < {until:DateTime('UTC')}
        UNION ALL
        SELECT
            e.window_start AS window_start,
            arrayMap(measure -> 0, measures)::Array(Decimal(38, 12)) AS of_windows,
            if(
                ifNull(e.test, false),
                [0, 1, 0, 0, 0, 0, 0, 0]::Array(Decimal(38, 12)),
                [
                    1, 0, e.status = 'error', ifNull(e.input_tokens, 0), ifNull(e.output_tokens, 0),
                    ifNull(e.cache_read_input_tokens, 0), ifNull(e.cost_usd, 0), e.cost_usd IS NOT NULL
                ]::Array(Decimal(38, 12))
            ) AS of_events,
            arrayMap(value -> value * r.times, of_events)::Array(Decimal(38, 12)) AS of_duplicates
        FROM {database}.llm_events AS e FINAL
        LEFT ANY JOIN repeated AS r ON cityHash64(e.event_id) = r.event_hash AND e.window_start = r.window_start
        WHERE e.timestamp >= {since:DateTime('UTC')} AND e.timestamp < {until:DateTime('UTC')}
    )
SELECT
    window_start,
    measure,
    in_windows,
    in_events,
    in_duplicates,
    in_windows - in_events - in_duplicates AS unexplained,
    multiIf(
        unexplained = 0, 'sent again',
        are_calls_explained, 'sent again with other values?',
        'none'
    ) AS explanation
FROM (
    SELECT
        window_start,
        sumForEach(of_windows) AS windows_sums,
        sumForEach(of_events) AS events_sums,
        sumForEach(of_duplicates) AS duplicates_sums,
        duplicates_sums[1] + duplicates_sums[2] > 0
            AND windows_sums[1] = events_sums[1] + duplicates_sums[1]
            AND windows_sums[2] = events_sums[2] + duplicates_sums[2] AS are_calls_explained
    FROM sides
    WHERE window_start NOT IN (SELECT window_start FROM expired_minutes)
    GROUP BY window_start
)
ARRAY JOIN measures AS measure, windows_sums AS in_windows, events_sums AS in_events, duplicates_sums AS in_duplicates
WHERE in_windows != in_events
ORDER BY explanation = 'none' DESC, unexplained != 0 DESC, window_start, measure
LIMIT {limit:UInt32}
