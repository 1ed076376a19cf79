-- Question: How long do calls take?
-- Use: SELECT … FROM latency_every(seconds = 3600) WHERE window_start >= …
-- Grain: one row per `seconds` and series.
-- Units and columns: as `latency`, where each column has its comment.
-- Time column: window_start, the window's start, UTC.
-- Cost: reads three sketches; about 1 µs a row and quantile. Filter by window_start and service.
-- A quantile is that of a bucket 1.6 % wide, so it is cut at the maximum, which is exact.
-- Quantiles of several rows: tokentide_quantile(sumMap(duration_ms_sketch), 0.95); they cannot be averaged.
-- Needs: windows_every
CREATE OR REPLACE VIEW {database}.latency_every
AS SELECT
    window_start,
    environment,
    service,
    provider,
    model,
    prompt_name,
    variant,
    tenant,
    feature,
    calls,
    duration_calls,
    duration_us / nullIf(duration_calls, 0) / 1000 AS duration_mean_ms,
    if((tokentide_quantile(duration_ms_sketch, 0.50) AS within_a_bucket_50) > duration_max_us / 1000, duration_max_us / 1000, within_a_bucket_50) AS duration_p50_ms,
    if((tokentide_quantile(duration_ms_sketch, 0.90) AS within_a_bucket_90) > duration_max_us / 1000, duration_max_us / 1000, within_a_bucket_90) AS duration_p90_ms,
    if((tokentide_quantile(duration_ms_sketch, 0.95) AS within_a_bucket_95) > duration_max_us / 1000, duration_max_us / 1000, within_a_bucket_95) AS duration_p95_ms,
    if((tokentide_quantile(duration_ms_sketch, 0.99) AS within_a_bucket_99) > duration_max_us / 1000, duration_max_us / 1000, within_a_bucket_99) AS duration_p99_ms,
    if(duration_calls = 0, NULL, duration_max_us / 1000) AS duration_max_ms,
    time_to_first_chunk_calls,
    time_to_first_chunk_us / nullIf(time_to_first_chunk_calls, 0) / 1000 AS time_to_first_chunk_mean_ms,
    tokentide_quantile(time_to_first_chunk_ms_sketch, 0.50) AS time_to_first_chunk_p50_ms,
    tokentide_quantile(time_to_first_chunk_ms_sketch, 0.90) AS time_to_first_chunk_p90_ms,
    tokentide_quantile(time_to_first_chunk_ms_sketch, 0.95) AS time_to_first_chunk_p95_ms,
    tokentide_quantile(time_to_first_chunk_ms_sketch, 0.99) AS time_to_first_chunk_p99_ms,
    arraySum(mapValues(time_per_output_token_ms_sketch)) AS time_per_output_token_calls,
    tokentide_quantile(time_per_output_token_ms_sketch, 0.50) AS time_per_output_token_p50_ms,
    tokentide_quantile(time_per_output_token_ms_sketch, 0.90) AS time_per_output_token_p90_ms,
    tokentide_quantile(time_per_output_token_ms_sketch, 0.95) AS time_per_output_token_p95_ms,
    tokentide_quantile(time_per_output_token_ms_sketch, 0.99) AS time_per_output_token_p99_ms,
    duration_ms_sketch,
    time_to_first_chunk_ms_sketch,
    time_per_output_token_ms_sketch
FROM {database}.windows_every(seconds = {seconds:UInt32})
COMMENT '`latency` over windows of any length: latency_every(seconds = 300).';
