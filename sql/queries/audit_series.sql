-- Question: do windows and events agree, series by series?
-- Grain: one row per minute, series and measure that differs; none where all is well.
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
-- Minutes with the series `__other__`, or folded under two settings, can only be compared as a whole (audit_minutes).
-- Dimensions that no window of a minute uses are left out of the events' series.
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
    comparable_minutes AS (
        SELECT
            window_start,
            max(environment != '') AS uses_environment,
            max(service != '') AS uses_service,
            max(provider != '') AS uses_provider,
            max(model != '') AS uses_model,
            max(prompt_name != '') AS uses_prompt_name,
            max(variant != '') AS uses_variant,
            max(tenant != '') AS uses_tenant,
            max(feature != '') AS uses_feature
        FROM {database}.windows_in_force
        WHERE window_start >= {since:DateTime('UTC')} AND window_start < {until:DateTime('UTC')}
        GROUP BY window_start
        HAVING max(service = '__other__') = 0 AND uniqExact(fold) = 1
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
            w.environment AS environment,
            w.service AS service,
            w.provider AS provider,
            w.model AS model,
            w.prompt_name AS prompt_name,
            w.variant AS variant,
            w.tenant AS tenant,
            w.feature AS feature,
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
            if(m.uses_environment, e.environment, '') AS environment,
            if(m.uses_service, e.service, '') AS service,
            if(m.uses_provider, e.provider, '') AS provider,
            if(m.uses_model, e.model, '') AS model,
            if(m.uses_prompt_name, e.prompt_name, '') AS prompt_name,
            if(m.uses_variant, e.variant, '') AS variant,
            if(m.uses_tenant, e.tenant, '') AS tenant,
            if(m.uses_feature, e.feature, '') AS feature,
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
        INNER JOIN comparable_minutes AS m ON e.window_start = m.window_start
        WHERE e.timestamp >= {since:DateTime('UTC')} AND e.timestamp < {until:DateTime('UTC')}
    )
SELECT
    window_start,
    environment,
    service,
    provider,
    model,
    prompt_name,
    variant,
    tenant,
    feature,
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
        window_start, environment, service, provider, model, prompt_name, variant, tenant, feature,
        sumForEach(of_windows) AS windows_sums,
        sumForEach(of_events) AS events_sums,
        sumForEach(of_duplicates) AS duplicates_sums,
        duplicates_sums[1] + duplicates_sums[2] > 0
            AND windows_sums[1] = events_sums[1] + duplicates_sums[1]
            AND windows_sums[2] = events_sums[2] + duplicates_sums[2] AS are_calls_explained
    FROM sides
    WHERE window_start NOT IN (SELECT window_start FROM expired_minutes)
        AND window_start IN (SELECT window_start FROM comparable_minutes)
    GROUP BY window_start, environment, service, provider, model, prompt_name, variant, tenant, feature
)
ARRAY JOIN measures AS measure, windows_sums AS in_windows, events_sums AS in_events, duplicates_sums AS in_duplicates
WHERE in_windows != in_events
ORDER BY explanation = 'none' DESC, unexplained != 0 DESC, window_start, environment, service, provider, model, prompt_name, variant, tenant, feature, measure
LIMIT {limit:UInt32}
