-- One row per segment of a partition: how far it was read, what was found there, and which fold is in force.
-- (Two or more, one after the other, where retention took the beginning before the segment could be folded again.)
--
-- ENGINE: the highest version stays. It decides which partials of `llm_windows` count: when settings or prices change in
--   the middle of a segment, the worker folds the segment again under a new fold, and with the next row
--   here the old partials leave the totals at once.
-- No partitions and no TTL: a row per 65,536 offsets is small, and without it the windows of the segment would vanish.
CREATE TABLE IF NOT EXISTS {database}.llm_ledger
(
    source LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Topic and topic id of the log that the row speaks for.',
    source_partition Int32 CODEC(T64, ZSTD(1)) COMMENT 'Partition of that log.',
    segment Int64 CODEC(T64, ZSTD(1)) COMMENT 'Which 65,536 offsets of the partition: offset / 65,536.',
    first_offset Int64 CODEC(T64, ZSTD(1)) COMMENT 'Offset at which the row begins: the segment\'s first, unless retention had taken that.',
    fold UInt64 CODEC(ZSTD(1)) COMMENT 'Identifies the settings and price book that the row was computed with.',
    version Int64 CODEC(T64, ZSTD(1)) COMMENT 'Offset up to which (exclusive) the log was read; the highest version of a row counts.',
    topic LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Name of the topic.',
    records Int64 CODEC(T64, ZSTD(1)) COMMENT 'Records read.',
    gaps Int64 CODEC(T64, ZSTD(1)) COMMENT 'Offsets without a record: compaction, transaction markers.',
    items Int64 CODEC(T64, ZSTD(1)) COMMENT 'Events found in the records, packed ones counted singly; good, repeated and refused.',
    events Int64 CODEC(T64, ZSTD(1)) COMMENT 'Accepted events; each has a row in `llm_events`.',
    test_events Int64 CODEC(T64, ZSTD(1)) COMMENT 'Of these, the ones marked `test`.',
    duplicates Int64 CODEC(T64, ZSTD(1)) COMMENT 'Events whose `event_id` had been seen in the segment; counted here and nowhere else.',
    rejects Int64 CODEC(T64, ZSTD(1)) COMMENT 'Refused events or records; each is a dead letter.',
    rejects_by_reason Map(LowCardinality(String), Int64) CODEC(ZSTD(1)) COMMENT 'The same by reason.',
    unknown_fields Int64 CODEC(T64, ZSTD(1)) COMMENT 'Fields of accepted events that the contract does not know.',
    lost Int64 CODEC(T64, ZSTD(1)) COMMENT 'Offsets of the segment that retention took before they were read.',
    min_timestamp Nullable(DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)) COMMENT 'Earliest event time of the segment; null: no event.',
    max_timestamp Nullable(DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)) COMMENT 'Latest event time of the segment; null: no event.',
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When ClickHouse stored the row; retention counts from here.'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source, source_partition, segment, first_offset)
COMMENT 'What was read of each segment, in all versions; read the view `ledger`.';
