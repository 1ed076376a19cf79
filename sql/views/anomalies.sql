-- Question: which incidents are there, and how do they stand?
-- Grain: one row per incident, its latest state.
-- Units: `value`, `limit` and `baseline` in `unit`; times in UTC.
-- Time column: started_at.
-- Cost: small; incidents are few.
CREATE OR REPLACE VIEW {database}.anomalies
(
    schema_version UInt16 COMMENT 'Version of the message.',
    anomaly_id String COMMENT 'Stable through the incident\'s life: 32 hex digits.',
    revision UInt32 COMMENT 'Counts up with each message of the incident.',
    state LowCardinality(String) COMMENT '`open` or `resolved`.',
    rule LowCardinality(String) COMMENT 'Name of the rule, such as `error_rate`.',
    metric LowCardinality(String) COMMENT 'What was measured, such as `error_rate` or `cost_usd`.',
    unit LowCardinality(String) COMMENT 'Unit of value, limit and baseline: `ratio`, `USD`, `ms`.',
    severity LowCardinality(String) COMMENT '`warning` or `critical`.',
    series Map(LowCardinality(String), String) COMMENT 'The dimensions of the series that the incident is about.',
    started_at DateTime64(6, 'UTC') COMMENT 'Event time of the first window over the limit.',
    updated_at DateTime64(6, 'UTC') COMMENT 'End of the newest window that this state rests on.',
    resolved_at Nullable(DateTime64(6, 'UTC')) COMMENT 'End of the window that resolved it.',
    window_start DateTime64(6, 'UTC') COMMENT 'Start of the evaluated span.',
    window_seconds UInt32 COMMENT 'Length of the evaluated span.',
    value Decimal(38, 12) COMMENT 'Measured value.',
    `limit` Decimal(38, 12) COMMENT 'The limit it was held against.',
    baseline Nullable(Decimal(38, 12)) COMMENT 'The series\' own past, where the rule has one.',
    samples Int64 COMMENT 'Calls that the value rests on.',
    example_event_ids Array(String) COMMENT 'A few events that show it, earliest first.',
    summary String COMMENT 'One line for a human.',
    stored_at DateTime64(3, 'UTC') COMMENT 'When ClickHouse stored the row; retention counts from here.'
)
AS SELECT
    schema_version,
    anomaly_id,
    revision,
    state,
    rule,
    metric,
    unit,
    severity,
    series,
    started_at,
    updated_at,
    resolved_at,
    window_start,
    window_seconds,
    value,
    `limit`,
    baseline,
    samples,
    example_event_ids,
    summary,
    stored_at
FROM {database}.llm_anomalies FINAL
COMMENT 'One row per incident: its latest state.';
