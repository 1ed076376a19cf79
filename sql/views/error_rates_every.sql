-- Question: How many calls fail, at what stage, why and by whose fault?
-- Use: SELECT … FROM error_rates_every(seconds = 3600) WHERE window_start >= …
-- Grain: one row per `seconds` and series.
-- Units and columns: as `error_rates`, where each column has its comment.
-- Time column: window_start, the window's start, UTC.
-- Cost: reads the counts of the minutes asked for; filter by window_start and service.
-- Cancelled calls are neither good nor bad: they are in `calls`, but in no rate. Test events are nowhere here.
-- Needs: windows_every
CREATE OR REPLACE VIEW {database}.error_rates_every
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
    cancelled_calls,
    calls - cancelled_calls AS finished_calls,
    errors,
    errors / nullIf(finished_calls, 0) AS error_rate,
    (finished_calls - errors) / nullIf(finished_calls, 0) AS availability,
    errors_by_owner['provider'] AS provider_errors,
    provider_errors / nullIf(finished_calls, 0) AS provider_error_rate,
    errors_by_owner['application'] AS application_errors,
    application_errors / nullIf(finished_calls, 0) AS application_error_rate,
    errors_by_owner['user'] AS user_errors,
    user_errors / nullIf(finished_calls, 0) AS user_error_rate,
    errors_by_class,
    mapApply((class, class_errors) -> (class, class_errors / finished_calls), errors_by_class) AS error_rate_by_class,
    errors_by_owner,
    errors_by_stage,
    model_calls,
    model_provider_errors,
    (model_calls - model_provider_errors) / nullIf(model_calls, 0) AS model_availability
FROM {database}.windows_every(seconds = {seconds:UInt32})
COMMENT '`error_rates` over windows of any length: error_rates_every(seconds = 300).';
