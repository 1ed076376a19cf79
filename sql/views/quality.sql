-- Question: How good are the answers, and how many are worse than a limit?
-- Grain: one row per minute and series; the series tell the variants of an A/B test apart.
-- Units: scores and shares 0 … 1, NULL where nothing was scored, which is not 0.
-- Time column: window_start, UTC.
-- Cost: reads counts and one small map; filter by window_start and service.
-- The formulas stand in `quality_every`, which gives the same over longer windows and with other limits.
-- Needs: quality_every
CREATE OR REPLACE VIEW {database}.quality
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
    quality_scored_calls Int64 COMMENT 'Calls with a quality score. [calls]',
    quality_mean Nullable(Float64) COMMENT 'Mean of the scores.',
    quality_mean_margin Nullable(Float64) COMMENT 'Half the width of the 95 % confidence interval of the mean, by the normal distribution; NULL: fewer than two scores.',
    score_limit Float64 COMMENT 'The limit: 0.5; `quality_every` takes another.',
    quality_bucketed_calls Int64 COMMENT 'Scored calls that are counted by hundredth; fewer than `quality_scored_calls` where a release older than this column counted some. [calls]',
    below_limit_calls Int64 COMMENT 'Of these, the ones with a score below the limit. [calls]',
    below_limit_share Nullable(Float64) COMMENT 'below_limit_calls / quality_bucketed_calls.'
)
AS SELECT *
FROM {database}.quality_every(limit = 0.5, seconds = 60)
COMMENT 'How good are the answers, and how many are worse than a limit? By minute and series.';
