-- Question: Where does the time of a call go?
-- Use: SELECT … FROM latency_breakdown_every(seconds = 3600) WHERE window_start >= …
-- Grain: one row per `seconds`, series and stage; `unaccounted` is what no stage explains.
-- Units and columns: as `latency_breakdown`, where each column has its comment.
-- Time column: window_start, the window's start, UTC.
-- Cost: reads a sketch a stage; filter by window_start and service.
-- Needs: windows_every
CREATE OR REPLACE VIEW {database}.latency_breakdown_every
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
    part.1 AS stage,
    part.2 AS stage_calls,
    part.3 / 1000 AS stage_total_ms,
    part.3 / nullIf(part.2, 0) / 1000 AS stage_mean_ms,
    tokentide_quantile(part.4, 0.95) AS stage_p95_ms,
    (stages_gateway_us + stages_queue_us + stages_cold_start_us + stages_parse_us + stages_context_us + stages_render_us + stages_model_us + stages_output_us + stages_network_us
        + staged_duration_us - staged_stages_us) / 1000 AS whole_ms,
    part.3 / 1000 / nullIf(whole_ms, 0) AS share,
    part.4 AS stage_ms_sketch
FROM {database}.windows_every(seconds = {seconds:UInt32})
ARRAY JOIN
    [
        ('gateway', stages_gateway_calls, stages_gateway_us, stages_gateway_ms_sketch),
        ('queue', stages_queue_calls, stages_queue_us, stages_queue_ms_sketch),
        ('cold_start', stages_cold_start_calls, stages_cold_start_us, stages_cold_start_ms_sketch),
        ('parse', stages_parse_calls, stages_parse_us, stages_parse_ms_sketch),
        ('context', stages_context_calls, stages_context_us, stages_context_ms_sketch),
        ('render', stages_render_calls, stages_render_us, stages_render_ms_sketch),
        ('model', stages_model_calls, stages_model_us, stages_model_ms_sketch),
        ('output', stages_output_calls, stages_output_us, stages_output_ms_sketch),
        ('network', stages_network_calls, stages_network_us, stages_network_ms_sketch),
        ('unaccounted', staged_calls, staged_duration_us - staged_stages_us, mapFromArrays([]::Array(Int16), []::Array(Int64)))
    ] AS part
WHERE part.2 > 0
COMMENT '`latency_breakdown` over windows of any length: latency_breakdown_every(seconds = 300).';
