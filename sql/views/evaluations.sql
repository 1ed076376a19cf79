-- Question: how were calls judged after they had ended?
-- Grain: one row per evaluation (event_id); of one that stands at several places in the log, the first.
-- Units: scores 0 … 1, NULL where only a label was given; times in UTC; '' is absent.
-- Time column: timestamp, when it was judged, which may be long after the call.
-- Cost: reads the ids and places of all evaluations, then the rows asked for; they are few beside the calls.
-- First is, as for `events`, the lowest offset, and at equal offsets the lowest partition. The comparison with all places
-- is a filter, so that one on `request_id` still finds its index.
CREATE OR REPLACE VIEW {database}.evaluations
(
    event_id String COMMENT 'Unique; the deduplication key.',
    timestamp DateTime64(6, 'UTC') COMMENT 'When it was judged: RFC 3339 with a zone, or seconds or milliseconds since 1970.',
    service LowCardinality(String) COMMENT 'The service of the call.',
    environment LowCardinality(String) COMMENT 'Such as `production` or `staging`.',
    tenant LowCardinality(String) COMMENT 'The customer the call was made for.',
    user_id String COMMENT 'Who judged; send a pseudonym.',
    request_id String COMMENT 'The `request_id` of the call.',
    quality_score Nullable(Float64) COMMENT '0 (bad) … 1 (good).',
    quality_label LowCardinality(String) COMMENT 'Such as `thumbs_up` or the evaluator\'s verdict.',
    labels Map(LowCardinality(String), String) COMMENT 'Up to 16 short pairs, such as the evaluator\'s name.',
    -- where in the log it stood
    source LowCardinality(String) COMMENT 'Topic and topic id of the record.',
    source_partition Int32 COMMENT 'Partition of the record.',
    source_offset Int64 COMMENT 'Offset of the record.',
    source_index Int32 COMMENT 'Position in a packed record, from 0.',
    sent_at DateTime64(3, 'UTC') COMMENT 'Kafka\'s time of the record.',
    -- ClickHouse's own
    stored_at DateTime64(3, 'UTC') COMMENT 'When ClickHouse stored the row; retention counts from here.'
)
AS SELECT
    event_id,
    timestamp,
    service,
    environment,
    tenant,
    user_id,
    request_id,
    quality_score,
    quality_label,
    labels,
    source,
    source_partition,
    source_offset,
    source_index,
    sent_at,
    stored_at
FROM {database}.llm_evaluations FINAL
WHERE (source_offset, source_partition, source_index, source) IN (
    SELECT min((source_offset, source_partition, source_index, source))
    FROM {database}.llm_evaluations
    GROUP BY event_id
)
COMMENT 'One row per evaluation. They are judgements of calls: see the view `evaluated_calls`.';
