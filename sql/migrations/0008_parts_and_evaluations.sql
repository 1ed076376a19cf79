-- Calls that were sent in parts, judgements that come after the call, and words that promised more than is counted.
--
-- A request and its answer become one row of `llm_events`, which says so; the ledger counts the parts, and names the places
-- of those that still wait, so that whoever begins there can read them again.
-- The columns stand where the worker's schema lists them. Rows of an earlier release hold '', NULL, 0 and empty arrays here,
-- which is what was true of them: every event was a whole call. An older worker that still writes leaves them out.
ALTER TABLE {database}.llm_events
    ADD COLUMN IF NOT EXISTS assembled_from LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Parts that the call was made of: `request+response`, `request+error`, or one alone; empty: one `call` event.' AFTER late,
    ADD COLUMN IF NOT EXISTS incomplete Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'True: a part of the call never came within the time limit.' AFTER assembled_from,
    MODIFY COLUMN source_index COMMENT 'Position in a packed record, from 0; negative: the record ended the wait of an incomplete call.';

-- CODEC of the places: as where one offset is a column of its own.
ALTER TABLE {database}.llm_ledger
    MODIFY COLUMN items COMMENT 'Events of any type found in the records, packed ones counted singly; accepted, repeated and refused.',
    MODIFY COLUMN events COMMENT 'Accepted calls, sent whole or in parts; each has a row in `llm_events`.',
    ADD COLUMN IF NOT EXISTS incomplete_events Int64 CODEC(T64, ZSTD(1)) COMMENT 'Of the events, those made of a part whose partner never came; they have no item of their own.' AFTER test_events,
    ADD COLUMN IF NOT EXISTS parts Int64 CODEC(T64, ZSTD(1)) COMMENT 'Requests, responses and errors that are part of a call and not its place; it is counted where it was completed or given up.' AFTER rejects_by_reason,
    ADD COLUMN IF NOT EXISTS evaluations Int64 CODEC(T64, ZSTD(1)) COMMENT 'Evaluations; each has a row in `llm_evaluations`.' AFTER parts,
    ADD COLUMN IF NOT EXISTS pending_offsets Array(Int64) CODEC(Delta(8), ZSTD(1)) COMMENT 'Places of the parts that waited for their partner when the log had been read up to `version`.' AFTER max_timestamp,
    ADD COLUMN IF NOT EXISTS pending_items Array(Int32) CODEC(T64, ZSTD(1)) COMMENT 'Position of each of these in its record; as long as `pending_offsets`.' AFTER pending_offsets;

-- A call that was given up has its place at the record whose time gave it up, beside that record's own events.
ALTER TABLE {database}.llm_occurrences
    MODIFY COLUMN source_index COMMENT 'Position in a packed record, from 0; negative: the record ended the wait of an incomplete call.';

-- One row per evaluation and place in the log. Readers use the view `evaluations`, which shows each evaluation once.
--
-- ENGINE and ORDER BY as `llm_occurrences`: an insert repeated after a crash changes nothing, and the audit counts by
--   segment. An evaluation that was sent twice has two rows here; they are few, and the view keeps the first.
-- No partitions: the key has no time.
-- INDEX: a bloom filter finds the evaluations of a request, which is how they are joined with calls.
-- TTL is set by `tokentide init`, as for the events: both hold what users said and did. `ttl_only_drop_parts` is not set: without
--   partitions old and new rows share parts, and rows must go when their time is over.
CREATE TABLE IF NOT EXISTS {database}.llm_evaluations
(
    event_id String CODEC(ZSTD(1)) COMMENT 'Unique; the deduplication key.',
    timestamp DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it was judged: RFC 3339 with a zone, or seconds or milliseconds since 1970.',
    service LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The service of the call.',
    environment LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Such as `production` or `staging`.',
    tenant LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The customer the call was made for.',
    user_id String CODEC(ZSTD(1)) COMMENT 'Who judged; send a pseudonym.',
    request_id String CODEC(ZSTD(1)) COMMENT 'The `request_id` of the call.',
    quality_score Nullable(Float64) CODEC(ZSTD(1)) COMMENT '0 (bad) … 1 (good).',
    quality_label LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Such as `thumbs_up` or the evaluator\'s verdict.',
    labels Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'Up to 16 short pairs, such as the evaluator\'s name.',
    -- where in the log it stood
    source LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Topic and topic id of the record.',
    source_partition Int32 CODEC(T64, ZSTD(1)) COMMENT 'Partition of the record.',
    source_offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset of the record.',
    source_index Int32 CODEC(T64, ZSTD(1)) COMMENT 'Position in a packed record, from 0.',
    sent_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka\'s time of the record.',
    -- ClickHouse's own
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When ClickHouse stored the row; retention counts from here.',
    INDEX request_id_bloom request_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY (source, source_partition, source_offset, source_index)
COMMENT 'One row per evaluation and place in the log; read the view `evaluations`.';

-- What the fold counts is narrower, or wider, than these comments said; nothing that is counted changes.
ALTER TABLE {database}.llm_windows
    MODIFY COLUMN errors_by_class COMMENT 'Errors by class; `other` where neither the event nor its HTTP status, error type and message tell one. [calls]',
    MODIFY COLUMN fallback_calls COMMENT 'Calls with `fallback_from`: made after another model had failed, whether they failed too or not. [calls]',
    MODIFY COLUMN time_per_output_token_ms_sketch COMMENT '(duration − time to first chunk) / (output tokens − 1) in log buckets of milliseconds, of calls that reported both times, the duration no shorter, and have 2 or more known output tokens. [calls]';
