-- Question: How often does a multi-turn request find its conversation's context in the cache?
-- Grain: one row per minute and series.
-- Units: calls; rates 0 … 1, NULL where nothing was reported, which is not 0.
-- Time column: window_start, UTC.
-- Cost: reads the counts of the minutes asked for; filter by window_start and service.
-- The formulas stand in `context_hit_rates_every`, which gives the same over longer windows.
-- Needs: context_hit_rates_every
CREATE OR REPLACE VIEW {database}.context_hit_rates
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
    multi_turn_calls Int64 COMMENT 'Calls with `turn` above 1. [calls]',
    context_reported_calls Int64 COMMENT 'Multi-turn calls that reported whether their context was found. [calls]',
    reported_share Nullable(Float64) COMMENT 'context_reported_calls / multi_turn_calls.',
    context_hits Int64 COMMENT 'Of these, the ones whose context was found. [calls]',
    context_hit_rate Nullable(Float64) COMMENT 'context_hits / context_reported_calls.'
)
AS SELECT *
FROM {database}.context_hit_rates_every(seconds = 60)
COMMENT 'How often does a multi-turn request find its conversation\'s context in the cache? By minute and series.';
