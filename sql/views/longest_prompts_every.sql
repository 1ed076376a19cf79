-- Question: How long are the prompts of each template, and how long is the longest?
-- Use: SELECT … FROM longest_prompts_every(seconds = 3600) WHERE window_start >= … ORDER BY input_tokens_max DESC
-- Grain: one row per `seconds`, environment, service and template.
-- Units and columns: as `longest_prompts`, where each column has its comment.
-- Time column: window_start, the window's start, UTC.
-- Cost: reads one sketch; filter by window_start and service.
-- Needs: windows_every
CREATE OR REPLACE VIEW {database}.longest_prompts_every
AS SELECT
    window_start,
    environment,
    service,
    prompt_name,
    sum(w.calls) AS calls,
    sum(w.input_known_calls) AS input_known_calls,
    nullIf(max(w.input_tokens_max), 0) AS input_tokens_max,
    sum(w.input_tokens) / nullIf(sum(w.input_known_calls), 0) AS input_tokens_mean,
    tokentide_quantile(sumMap(w.input_tokens_sketch), 0.95) AS input_tokens_p95
FROM {database}.windows_every(seconds = {seconds:UInt32}) AS w
GROUP BY window_start, environment, service, prompt_name
COMMENT '`longest_prompts` over windows of any length: longest_prompts_every(seconds = 3600).';
