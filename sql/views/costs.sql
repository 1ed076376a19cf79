-- Question: What do the calls cost, how sure is that, and what is wasted?
-- Grain: one row per minute and series.
-- Units: USD, exact to 12 decimals; a quotient is rounded down there; shares 0 … 1, NULL where the whole is 0.
-- Time column: window_start, UTC.
-- Cost: reads the counts of the minutes asked for; filter by window_start and service.
-- The formulas stand in `costs_every`, which gives the same over longer windows.
-- Needs: costs_every
CREATE OR REPLACE VIEW {database}.costs
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
    priced_calls Int64 COMMENT 'Calls with a known cost; `priced_calls / calls` is the coverage. [calls]',
    coverage Nullable(Float64) COMMENT 'priced_calls / calls: below 1, the cost is more than what stands here.',
    unpriced_by_reason Map(String, Int64) COMMENT 'Calls without a known cost, by reason. [calls]',
    cost_usd Nullable(Decimal(38, 12)) COMMENT 'Cost of the priced calls; NULL: no call is priced. [usd]',
    cost_per_call_usd Nullable(Decimal(38, 12)) COMMENT 'cost_usd / priced_calls. [usd]',
    reported_cost_usd Decimal(38, 12) COMMENT 'Part of the cost that the provider stated. [usd]',
    estimated_cost_usd Decimal(38, 12) COMMENT 'Part of the cost that rests on estimated tokens. [usd]',
    estimated_share Nullable(Float64) COMMENT 'estimated_cost_usd / cost_usd.',
    error_cost_usd Decimal(38, 12) COMMENT 'Cost of failed calls. [usd]',
    error_cost_share Nullable(Float64) COMMENT 'error_cost_usd / cost_usd: paid for calls that failed.',
    retried_cost_usd Decimal(38, 12) COMMENT 'Cost of calls with more than one attempt. [usd]',
    retried_cost_share Nullable(Float64) COMMENT 'retried_cost_usd / cost_usd: paid for calls with more than one attempt. A failed retry is in both shares.',
    infra_cost_usd Decimal(38, 12) COMMENT 'Cost of the host. [usd]',
    infra_priced_calls Int64 COMMENT 'Calls that reported the cost of their host. [calls]',
    infra_cost_per_call_usd Nullable(Decimal(38, 12)) COMMENT 'infra_cost_usd / infra_priced_calls. [usd]',
    input_tokens Int64 COMMENT 'Input tokens, cached ones included. [tokens]',
    output_tokens Int64 COMMENT 'Output tokens, reasoning included. [tokens]'
)
AS SELECT *
FROM {database}.costs_every(seconds = 60)
COMMENT 'What do the calls cost, how sure is that, and what is wasted? By minute and series.';
