-- Question: What do the calls cost, how sure is that, and what is wasted?
-- Use: SELECT … FROM costs_every(seconds = 3600) WHERE window_start >= …
-- Grain: one row per `seconds` and series.
-- Units and columns: as `costs`, where each column has its comment.
-- Time column: window_start, the window's start, UTC.
-- Cost: reads the counts of the minutes asked for; filter by window_start and service.
-- Needs: windows_every
CREATE OR REPLACE VIEW {database}.costs_every
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
    priced_calls,
    priced_calls / nullIf(calls, 0) AS coverage,
    unpriced_by_reason,
    if(w.priced_calls = 0, NULL, w.cost_usd) AS cost_usd,
    w.cost_usd / nullIf(priced_calls, 0) AS cost_per_call_usd,
    reported_cost_usd,
    estimated_cost_usd,
    toFloat64(estimated_cost_usd) / nullIf(toFloat64(cost_usd), 0) AS estimated_share,
    error_cost_usd,
    toFloat64(error_cost_usd) / nullIf(toFloat64(cost_usd), 0) AS error_cost_share,
    retried_cost_usd,
    toFloat64(retried_cost_usd) / nullIf(toFloat64(cost_usd), 0) AS retried_cost_share,
    infra_cost_usd,
    infra_priced_calls,
    infra_cost_usd / nullIf(infra_priced_calls, 0) AS infra_cost_per_call_usd,
    input_tokens,
    output_tokens
FROM {database}.windows_every(seconds = {seconds:UInt32}) AS w
COMMENT '`costs` over windows of any length: costs_every(seconds = 300).';
