-- Question: How long do calls take?
-- Grain: one row per minute and series.
-- Units: milliseconds; quantiles within 0.78 %, means exact; NULL where nothing was reported.
-- Time column: window_start, UTC.
-- Cost: reads three sketches; about 1 µs a row and quantile. Filter by window_start and service.
-- The formulas stand in `latency_every`, which gives the same over longer windows.
-- Needs: latency_every
CREATE OR REPLACE VIEW {database}.latency
(
    window_start DateTime('UTC') COMMENT 'Start of the window: `[start, start + 60 s)`, event time, UTC.',
    environment LowCardinality(String) COMMENT 'Dimension: Such as `production` or `staging`.',
    service LowCardinality(String) COMMENT 'Dimension: The application or component that made the call.',
    provider LowCardinality(String) COMMENT 'Dimension: `openai`, `anthropic`, `aws.bedrock`, …',
    model LowCardinality(String) COMMENT 'Dimension: The model that was priced; where no price is known, the one reported.',
    prompt_name LowCardinality(String) COMMENT 'Dimension: The template; absent: built by hand.',
    variant LowCardinality(String) COMMENT 'Dimension: A/B or shadow group.',
    tenant LowCardinality(String) COMMENT 'Dimension: The customer the call was made for.',
    feature LowCardinality(String) COMMENT 'Dimension: The product feature the call belongs to.',
    calls Int64 COMMENT 'Calls, whatever their outcome; without test events. [calls]',
    duration_calls Int64 COMMENT 'Calls that reported their duration. [calls]',
    duration_mean_ms Nullable(Float64) COMMENT 'Mean duration. [ms]',
    duration_p50_ms Nullable(Float64) COMMENT '50 % of the calls are no longer than this. [ms, within 0.78 %]',
    duration_p90_ms Nullable(Float64) COMMENT '90 % of the calls are no longer than this. [ms, within 0.78 %]',
    duration_p95_ms Nullable(Float64) COMMENT '95 % of the calls are no longer than this. [ms, within 0.78 %]',
    duration_p99_ms Nullable(Float64) COMMENT '99 % of the calls are no longer than this. [ms, within 0.78 %]',
    duration_max_ms Nullable(Float64) COMMENT 'The longest. [ms]',
    time_to_first_chunk_calls Int64 COMMENT 'Calls that reported the time to the first chunk. [calls]',
    time_to_first_chunk_mean_ms Nullable(Float64) COMMENT 'Mean time to the first chunk, streamed calls. [ms]',
    time_to_first_chunk_p50_ms Nullable(Float64) COMMENT '50 % of the times to the first chunk are no longer than this. [ms, within 0.78 %]',
    time_to_first_chunk_p90_ms Nullable(Float64) COMMENT '90 % of the times to the first chunk are no longer than this. [ms, within 0.78 %]',
    time_to_first_chunk_p95_ms Nullable(Float64) COMMENT '95 % of the times to the first chunk are no longer than this. [ms, within 0.78 %]',
    time_to_first_chunk_p99_ms Nullable(Float64) COMMENT '99 % of the times to the first chunk are no longer than this. [ms, within 0.78 %]',
    time_per_output_token_calls Int64 COMMENT 'Calls whose time per output token is known. [calls]',
    time_per_output_token_p50_ms Nullable(Float64) COMMENT '50 % of the times per output token are no longer than this. [ms, within 0.78 %]',
    time_per_output_token_p90_ms Nullable(Float64) COMMENT '90 % of the times per output token are no longer than this. [ms, within 0.78 %]',
    time_per_output_token_p95_ms Nullable(Float64) COMMENT '95 % of the times per output token are no longer than this. [ms, within 0.78 %]',
    time_per_output_token_p99_ms Nullable(Float64) COMMENT '99 % of the times per output token are no longer than this. [ms, within 0.78 %]',
    duration_ms_sketch Map(Int16, Int64) COMMENT 'Durations in log buckets of milliseconds. [calls]',
    time_to_first_chunk_ms_sketch Map(Int16, Int64) COMMENT 'Those times in log buckets of milliseconds. [calls]',
    time_per_output_token_ms_sketch Map(Int16, Int64) COMMENT '(duration − time to first chunk) / (output tokens − 1) in log buckets of milliseconds, of calls that reported both times, the duration no shorter, and have 2 or more known output tokens. [calls]'
)
AS SELECT *
FROM {database}.latency_every(seconds = 60)
COMMENT 'How long do calls take? By minute and series.';
