-- Question: How many calls fail, at what stage, why and by whose fault?
-- Grain: one row per minute and series.
-- Units: calls; rates 0 … 1, NULL where nothing was counted.
-- Time column: window_start, UTC.
-- Cost: reads the counts of the minutes asked for; filter by window_start and service.
-- The formulas stand in `error_rates_every`, which gives the same over longer windows.
-- Needs: error_rates_every
CREATE OR REPLACE VIEW {database}.error_rates
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
    cancelled_calls Int64 COMMENT 'Calls cancelled by the user: neither good nor bad. [calls]',
    finished_calls Int64 COMMENT 'Calls that were not cancelled: what the error rate is a share of. [calls]',
    errors Int64 COMMENT 'Calls with status `error`. [calls]',
    error_rate Nullable(Float64) COMMENT 'errors / finished_calls.',
    availability Nullable(Float64) COMMENT '1 - error_rate: finished calls that ended well.',
    provider_errors Int64 COMMENT 'Errors owned by the provider. [calls]',
    provider_error_rate Nullable(Float64) COMMENT 'provider_errors / finished_calls.',
    application_errors Int64 COMMENT 'Errors owned by the application. [calls]',
    application_error_rate Nullable(Float64) COMMENT 'application_errors / finished_calls.',
    user_errors Int64 COMMENT 'Errors owned by the user. [calls]',
    user_error_rate Nullable(Float64) COMMENT 'user_errors / finished_calls.',
    errors_by_class Map(String, Int64) COMMENT 'Errors by class; `other` where neither the event nor its HTTP status, error type and message tell one. [calls]',
    error_rate_by_class Map(String, Float64) COMMENT 'Each class\'s errors / finished_calls; a class without errors is absent.',
    errors_by_owner Map(String, Int64) COMMENT 'Errors by owner: provider, application, user, unknown. [calls]',
    errors_by_stage Map(String, Int64) COMMENT 'Errors by the stage that failed; `unknown` if not reported. [calls]',
    model_calls Int64 COMMENT 'Calls that reached the model: not stopped by a stage before it, by an open circuit or a response cache. [calls]',
    model_provider_errors Int64 COMMENT 'Of these, errors at the model call owned by the provider. [calls]',
    model_availability Nullable(Float64) COMMENT '(model_calls - model_provider_errors) / model_calls: how well the model\'s API answered.'
)
AS SELECT *
FROM {database}.error_rates_every(seconds = 60)
COMMENT 'How many calls fail, at what stage, why and by whose fault? By minute and series.';
