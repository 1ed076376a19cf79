-- Question: How long are the prompts of each template, and how long is the longest?
-- Grain: one row per day, environment, service and template.
-- Units: tokens; NULL where none are known, which is not 0.
-- Time column: window_start, the day's start, UTC.
-- Cost: reads one sketch; filter by window_start and service.
-- The formulas stand in `longest_prompts_every`, which gives the same over other windows.
-- Needs: longest_prompts_every
CREATE OR REPLACE VIEW {database}.longest_prompts
(
    window_start DateTime('UTC') COMMENT 'Start of the day, event time, UTC.',
    environment LowCardinality(String) COMMENT 'Dimension: Such as `production` or `staging`.',
    service LowCardinality(String) COMMENT 'Dimension: The application or component that made the call.',
    prompt_name LowCardinality(String) COMMENT 'Dimension: The template; absent: built by hand.',
    calls Int64 COMMENT 'Calls, whatever their outcome; without test events. [calls]',
    input_known_calls Int64 COMMENT 'Calls whose input tokens are known from any source. [calls]',
    input_tokens_max Nullable(Int64) COMMENT 'The longest prompt; NULL: no call is known to have had one, or all are older than this column. [tokens]',
    input_tokens_mean Nullable(Float64) COMMENT 'Input tokens / input_known_calls. [tokens]',
    input_tokens_p95 Nullable(Float64) COMMENT '95 % of the prompts are no longer than this. [tokens, within 0.78 %]'
)
AS SELECT *
FROM {database}.longest_prompts_every(seconds = 86400)
COMMENT 'How long are the prompts of each template, and how long is the longest? By day and template.';
