-- Question: How much of the input comes from the provider's prompt cache?
-- Grain: one row per minute and series.
-- Units: tokens and calls; rates 0 … 1, NULL where nothing was counted.
-- Time column: window_start, UTC.
-- Cost: reads the counts of the minutes asked for; filter by window_start and service.
-- The formulas stand in `prompt_cache_hit_rates_every`, which gives the same over longer windows.
-- Needs: prompt_cache_hit_rates_every
CREATE OR REPLACE VIEW {database}.prompt_cache_hit_rates
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
    input_tokens Int64 COMMENT 'Input tokens, cached ones included. [tokens]',
    cache_read_input_tokens Int64 COMMENT 'Input tokens read from the prompt cache. [tokens]',
    prompt_cache_hit_rate Nullable(Float64) COMMENT 'cache_read_input_tokens / input_tokens, over all calls.',
    cache_reported_calls Int64 COMMENT 'Calls that reported tokens read from the prompt cache. [calls]',
    cache_reported_input_tokens Int64 COMMENT 'Input tokens of the calls that reported cache reads. [tokens]',
    reported_prompt_cache_hit_rate Nullable(Float64) COMMENT 'cache_read_input_tokens / cache_reported_input_tokens, over the calls that reported it.',
    cache_read_calls Int64 COMMENT 'Of these, the ones with any. [calls]',
    cache_read_call_rate Nullable(Float64) COMMENT 'cache_read_calls / calls.',
    cache_write_input_tokens Int64 COMMENT 'Input tokens written to the prompt cache. [tokens]'
)
AS SELECT *
FROM {database}.prompt_cache_hit_rates_every(seconds = 60)
COMMENT 'How much of the input comes from the provider\'s prompt cache? By minute and series.';
