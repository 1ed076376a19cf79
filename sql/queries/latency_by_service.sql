-- Question: how long do the calls of each service take, over all its models and templates?
-- Grain: one row per period and service.
-- Units: milliseconds; quantiles within 0.78 %, means exact; NULL where no duration was reported.
-- Time column: window_start, from since (included) to until (excluded).
-- Cost: reads one sketch of the windows asked for.
-- Parameters: since, until; seconds, the length of a period: 300, 3600, 86400 …
-- Quantiles cannot be averaged: the sketches are merged first.
SELECT
    window_start,
    service,
    sum(w.duration_calls) AS duration_calls,
    sum(w.duration_us) / nullIf(duration_calls, 0) / 1000 AS duration_mean_ms,
    tokentide_quantile(sumMap(w.duration_ms_sketch), 0.5) AS duration_p50_ms,
    tokentide_quantile(sumMap(w.duration_ms_sketch), 0.95) AS duration_p95_ms,
    tokentide_quantile(sumMap(w.duration_ms_sketch), 0.99) AS duration_p99_ms
FROM {database}.windows_every(seconds = {seconds:UInt32}) AS w
WHERE window_start >= {since:DateTime('UTC')} AND window_start < {until:DateTime('UTC')}
GROUP BY window_start, service
ORDER BY window_start, service
