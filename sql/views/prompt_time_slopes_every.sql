-- Question: How much longer does a model take for a longer prompt?
-- Use: SELECT … FROM prompt_time_slopes_every(seconds = 3600) WHERE window_start >= …
-- Grain: one row per `seconds`, environment, provider and model.
-- Units and columns: as `prompt_time_slopes`, where each column has its comment.
-- Time column: window_start, the window's start, UTC.
-- Cost: reads the counts of the minutes asked for; filter by window_start.
-- By service, template …: the same call of `tokentide_slope` over `windows_every`, whose sums can be added over any rows.
-- Needs: windows_every
CREATE OR REPLACE VIEW {database}.prompt_time_slopes_every
AS SELECT
    window_start,
    environment,
    provider,
    model,
    sum(w.calls) AS calls,
    sum(w.prompt_time_calls) AS prompt_time_calls,
    sum(w.prompt_time_input_tokens) / nullIf(sum(w.prompt_time_calls), 0) AS mean_input_tokens,
    sum(w.prompt_time_model_us) / nullIf(sum(w.prompt_time_calls), 0) / 1000 AS mean_model_ms,
    -- µs per token / 10 = ms per 100 tokens
    tokentide_slope(
        sum(w.prompt_time_calls),
        sum(w.prompt_time_input_tokens),
        sum(w.prompt_time_model_us),
        sum(w.prompt_time_squares),
        sum(w.prompt_time_products)
    ) / 10 AS ms_per_100_input_tokens,
    mean_model_ms - ms_per_100_input_tokens * mean_input_tokens / 100 AS base_ms
FROM {database}.windows_every(seconds = {seconds:UInt32}) AS w
GROUP BY window_start, environment, provider, model
COMMENT '`prompt_time_slopes` over windows of any length: prompt_time_slopes_every(seconds = 3600).';
