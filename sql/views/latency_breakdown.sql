-- Question: Where does the time of a call go?
-- Grain: one row per minute, series and stage; `unaccounted` is what no stage explains.
-- Units: milliseconds; share 0 … 1 of the time of all stages and the unaccounted; NULL where the whole is 0.
-- Time column: window_start, UTC.
-- Cost: reads a sketch a stage; filter by window_start and service.
-- The formulas stand in `latency_breakdown_every`, which gives the same over longer windows.
-- Needs: latency_breakdown_every
CREATE OR REPLACE VIEW {database}.latency_breakdown
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
    stage String COMMENT 'gateway, queue, cold_start, parse, context, render, model, output, network; `unaccounted`: the rest of the durations.',
    stage_calls Int64 COMMENT 'Calls that reported the stage; of `unaccounted`: calls that reported a duration and any stage. [calls]',
    stage_total_ms Float64 COMMENT 'Time of these calls in the stage; of `unaccounted` below 0 where stages overlap. [ms]',
    stage_mean_ms Nullable(Float64) COMMENT 'stage_total_ms / stage_calls. [ms]',
    stage_p95_ms Nullable(Float64) COMMENT '95 % of the times in the stage are no longer than this; NULL for `unaccounted`. [ms, within 0.78 %]',
    whole_ms Float64 COMMENT 'Time of all stages and the unaccounted: what the share is of. [ms]',
    share Nullable(Float64) COMMENT 'stage_total_ms / whole_ms; the shares of a window add up to 1.',
    stage_ms_sketch Map(Int16, Int64) COMMENT 'Times in the stage in log buckets of milliseconds. [calls]'
)
AS SELECT *
FROM {database}.latency_breakdown_every(seconds = 60)
COMMENT 'Where does the time of a call go? By minute and series.';
