-- Question: How much longer does a model take for a longer prompt?
-- Grain: one row per day, environment, provider and model.
-- Units: milliseconds, tokens; NULL where no line is determined: fewer than two calls, or all of one length.
-- Time column: window_start, the day's start, UTC.
-- Cost: reads the counts of the days asked for; filter by window_start.
-- The formulas stand in `prompt_time_slopes_every`, which gives the same over other windows.
-- Needs: prompt_time_slopes_every
CREATE OR REPLACE VIEW {database}.prompt_time_slopes
(
    window_start DateTime('UTC') COMMENT 'Start of the day, event time, UTC.',
    environment LowCardinality(String) COMMENT 'Dimension: Such as `production` or `staging`.',
    provider LowCardinality(String) COMMENT 'Dimension: `openai`, `anthropic`, `aws.bedrock`, …',
    model LowCardinality(String) COMMENT 'Dimension: The model that was priced; where no price is known, the one reported.',
    calls Int64 COMMENT 'Calls, whatever their outcome; without test events. [calls]',
    prompt_time_calls Int64 COMMENT 'Calls that ended well and reported the stage `model`, with 1 … 10,000,000 known input tokens: the points of the line. [calls]',
    mean_input_tokens Nullable(Float64) COMMENT 'Mean of their input tokens. [tokens]',
    mean_model_ms Nullable(Float64) COMMENT 'Mean of their times in the stage `model`. [ms]',
    ms_per_100_input_tokens Nullable(Float64) COMMENT 'Slope of the least-squares line of the time in the stage `model` over input tokens. NULL: fewer than two calls, or all of one length. [ms]',
    base_ms Nullable(Float64) COMMENT 'Where the line meets 0 tokens: the part that does not grow with the prompt, the answer included. [ms]'
)
AS SELECT *
FROM {database}.prompt_time_slopes_every(seconds = 86400)
COMMENT 'How much longer does a model take for a longer prompt? By day and model.';
