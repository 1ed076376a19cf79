-- Question: How much of the input comes from the provider's prompt cache?
-- Use: SELECT … FROM prompt_cache_hit_rates_every(seconds = 3600) WHERE window_start >= …
-- Grain: one row per `seconds` and series.
-- Units and columns: as `prompt_cache_hit_rates`, where each column has its comment.
-- Time column: window_start, the window's start, UTC.
-- Cost: reads the counts of the minutes asked for; filter by window_start and service.
-- Needs: windows_every
CREATE OR REPLACE VIEW {database}.prompt_cache_hit_rates_every
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
    input_tokens,
    cache_read_input_tokens,
    cache_read_input_tokens / nullIf(input_tokens, 0) AS prompt_cache_hit_rate,
    cache_reported_calls,
    cache_reported_input_tokens,
    cache_read_input_tokens / nullIf(cache_reported_input_tokens, 0) AS reported_prompt_cache_hit_rate,
    cache_read_calls,
    cache_read_calls / nullIf(calls, 0) AS cache_read_call_rate,
    cache_write_input_tokens
FROM {database}.windows_every(seconds = {seconds:UInt32})
COMMENT '`prompt_cache_hit_rates` over windows of any length: prompt_cache_hit_rates_every(seconds = 300).';
