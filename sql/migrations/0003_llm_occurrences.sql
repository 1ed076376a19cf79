-- Every place in the log at which an event was found: 9 bytes a row, filled by the insert into `llm_events`.
--
-- `llm_events` keeps one row per event, so an event sent twice leaves no trace of its second place there, and a lost
-- row would look the same. Here each place keeps a row of its own, and the audit can tell the two apart.
-- ENGINE: ReplacingMergeTree, so that an insert repeated by a retry counts once.
-- ORDER BY the place in the log: the audit counts by segment.
-- No partitions: the key has no time, and one event time per partition would tear the places apart.
CREATE TABLE IF NOT EXISTS {database}.llm_occurrences
(
    source LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Topic and topic id of the record.',
    source_partition Int32 CODEC(T64, ZSTD(1)) COMMENT 'Partition of the record.',
    source_offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset of the record.',
    source_index Int32 CODEC(T64, ZSTD(1)) COMMENT 'Position in a packed record, from 0.',
    event_hash UInt64 CODEC(NONE) COMMENT 'cityHash64 of the event_id.',
    window_start DateTime('UTC') CODEC(Delta(4), ZSTD(1)) COMMENT 'Start of the minute that this occurrence counts in.',
    stored_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When ClickHouse stored the row; retention counts from here.'
)
ENGINE = ReplacingMergeTree
ORDER BY (source, source_partition, source_offset, source_index)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Every place in the log at which an event was found; for the audit.';

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.llm_occurrences_feed TO {database}.llm_occurrences
AS SELECT
    source,
    source_partition,
    source_offset,
    source_index,
    cityHash64(event_id) AS event_hash,
    window_start,
    stored_at
FROM {database}.llm_events;
