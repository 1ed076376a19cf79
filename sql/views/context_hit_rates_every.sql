-- Question: How often does a multi-turn request find its conversation's context in the cache?
-- Use: SELECT … FROM context_hit_rates_every(seconds = 3600) WHERE window_start >= …
-- Grain: one row per `seconds` and series.
-- Units and columns: as `context_hit_rates`, where each column has its comment.
-- Time column: window_start, the window's start, UTC.
-- Cost: reads the counts of the minutes asked for; filter by window_start and service.
-- Needs: windows_every
CREATE OR REPLACE VIEW {database}.context_hit_rates_every
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
    multi_turn_calls,
    context_reported_calls,
    context_reported_calls / nullIf(multi_turn_calls, 0) AS reported_share,
    context_hits,
    context_hits / nullIf(context_reported_calls, 0) AS context_hit_rate
FROM {database}.windows_every(seconds = {seconds:UInt32})
COMMENT '`context_hit_rates` over windows of any length: context_hit_rates_every(seconds = 300).';
