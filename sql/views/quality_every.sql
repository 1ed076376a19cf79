-- Question: How good are the answers, and how many are worse than a limit?
-- Use: SELECT … FROM quality_every(limit = 0.7, seconds = 3600) WHERE window_start >= …
-- Grain: one row per `seconds` and series; the series tell the variants of an A/B test apart.
-- Units and columns: as `quality`, where each column has its comment. `limit` is 0 … 1 in whole hundredths, which is how
--   finely scores are counted; any other is an error (395).
-- Time column: window_start, the window's start, UTC.
-- Cost: reads counts and one small map; filter by window_start and service.
-- Over several rows: add below_limit_calls and quality_bucketed_calls, and divide.
-- Needs: windows_every
CREATE OR REPLACE VIEW {database}.quality_every
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
    quality_scored_calls,
    quality_score_e4 / nullIf(quality_scored_calls, 0) / 10000 AS quality_mean,
    -- 1.96 × the standard error √(s²/n), with s² = (n Σx² − (Σx)²) / (n (n − 1)), exact up to the root
    1.96 * sqrt(
        toFloat64(toInt256(quality_scored_calls) * quality_score_squares_e8 - toInt256(quality_score_e4) * quality_score_e4)
        / nullIf(toFloat64(quality_scored_calls) * quality_scored_calls * (quality_scored_calls - 1), 0)
    ) / 10000 AS quality_mean_margin,
    round({limit:Float64} * 100) / 100 AS score_limit,
    arraySum(mapValues(quality_buckets)) AS quality_bucketed_calls,
    arraySum(
        (calls_of_bucket, hundredth) -> if(hundredth < round({limit:Float64} * 100), calls_of_bucket, 0),
        mapValues(quality_buckets),
        mapKeys(quality_buckets)
    ) + throwIf(
        NOT ({limit:Float64} >= 0 AND {limit:Float64} <= 1)
        OR abs({limit:Float64} * 100 - round({limit:Float64} * 100)) > 1e-9,
        'quality_every: the limit must be 0 … 1 in whole hundredths'
    ) AS below_limit_calls,
    below_limit_calls / nullIf(quality_bucketed_calls, 0) AS below_limit_share
FROM {database}.windows_every(seconds = {seconds:UInt32})
COMMENT '`quality` over windows of any length, with any limit: quality_every(limit = 0.7, seconds = 3600).';
