-- One row per event. Readers use the view `events`, which merges what background merges have not merged yet.
--
-- ENGINE: ReplacingMergeTree collapses rows of one key, so that inserting again after a crash or a lost answer
--   changes nothing. Of two rows of a key the higher `occurrence_rank` stays, on equal ranks the later insert:
--   * the same record inserted again has the same rank, so the last insert wins: identical after a crash, and
--     the newer figures where the segment was folded again under another price book;
--   * one event sent twice (two offsets) keeps its first place in the log, whichever worker is faster, so that
--     reprocessing everything gives the same table.
-- ORDER BY: `service` first, since most questions name it and it has few values; then time; `event_id` ends the
--   key and is what makes it unique. Only what the producer sent may stand here: `model` comes from the
--   price book, and a new book would make a new key instead of a newer row.
-- PARTITION BY month of the event time: rows of one key share a partition (FINAL then merges partition by partition),
--   and months can be dropped. Old traces touch many months: our inserts lift `max_partitions_per_insert_block`.
-- TTL is set by `tokentide init` from the retention settings, by `stored_at`: an old trace replayed today stays.
-- CODEC: Delta for what grows row by row; T64 cuts the unused high bits of integers; ZSTD(1) takes
--   a third less than LZ4 for the same insert time (82 against 130 bytes a row); ZSTD(3) for texts, which are seldom read.
-- Numbers are Nullable, since unknown is not 0; absent text is ''.
-- INDEX: bloom filters find an id without its time; together 4 bytes a row.
-- min_bytes_for_wide_part: a part of a few 10,000 rows as one file for each of 100 columns costs the server four
--   times the CPU of one file for all (measured: 10 against 2.4 µs a row), so parts become wide only when large.
-- ttl_only_drop_parts: whole parts are dropped once all of their rows are out of date; no rewriting.
CREATE TABLE IF NOT EXISTS {database}.llm_events
(
    -- identity
    event_id String CODEC(ZSTD(1)) COMMENT 'Unique; the deduplication key. A UUIDv7 from the SDK.',
    timestamp DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the call finished: RFC 3339 with a zone, or seconds or milliseconds since 1970. The event time of windows and of prices.',
    -- where
    service LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The application or component that made the call.',
    environment LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Such as `production` or `staging`.',
    region LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Where the application runs.',
    tenant LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The customer the call was made for.',
    user_id String CODEC(ZSTD(1)) COMMENT 'The end user; send a pseudonym.',
    feature LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The product feature the call belongs to.',
    labels Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'Up to 16 short pairs, kept for SQL.',
    -- trace
    request_id String CODEC(ZSTD(1)) COMMENT 'Of the application\'s request.',
    trace_id String CODEC(ZSTD(1)) COMMENT 'OpenTelemetry trace.',
    span_id String CODEC(ZSTD(1)) COMMENT 'OpenTelemetry span.',
    parent_span_id String CODEC(ZSTD(1)) COMMENT 'OpenTelemetry parent span.',
    conversation_id String CODEC(ZSTD(1)) COMMENT 'The conversation or session.',
    turn Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Turn of the conversation, from 1; above 1 is a multi-turn request.',
    -- call
    operation LowCardinality(String) CODEC(ZSTD(1)) COMMENT '`chat`, `text_completion`, `embeddings`, …',
    provider LowCardinality(String) CODEC(ZSTD(1)) COMMENT '`openai`, `anthropic`, `aws.bedrock`, …',
    request_model LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The model asked for.',
    response_model LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The model that answered; the price goes by it, else by the one asked for.',
    model_version LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Version label of a model you host.',
    deployment LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Rollout label, to tie a change of latency to a deployment.',
    stream Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'The answer was streamed.',
    service_tier LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Such as `batch`, `flex` or `priority`.',
    finish_reasons Array(LowCardinality(String)) CODEC(ZSTD(1)) COMMENT 'Why the model stopped.',
    -- prompt
    prompt_name LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The template; absent: built by hand.',
    prompt_version LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The template\'s version.',
    variant LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'A/B or shadow group.',
    -- usage
    input_tokens Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Tokens of the prompt, those from the cache included.',
    output_tokens Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Tokens of the answer, reasoning included.',
    cache_read_input_tokens Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Part of the input that came from the provider\'s prompt cache.',
    cache_write_input_tokens Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Part of the input that was written to that cache, for any lifetime.',
    cache_write_1h_input_tokens Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Part of `cache_write_input_tokens` written with a lifetime of one hour.',
    reasoning_output_tokens Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Part of the output spent on reasoning.',
    cache_reporting LowCardinality(String) CODEC(ZSTD(1)) COMMENT '`inclusive` (the default): `input_tokens` holds the cached tokens too; `exclusive`: it does not (Anthropic\'s raw usage).',
    cost_usd Nullable(Decimal(38, 12)) CODEC(ZSTD(1)) COMMENT 'Cost of the call; null: unpriced. `cost_source` says whose figure it is.',
    -- outcome
    status LowCardinality(String) CODEC(ZSTD(1)) COMMENT '`ok`, `error`, or `cancelled` (by the user: not an error). When absent: `error` if `error` is there, else `ok`.',
    error_type LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Exception or provider code, such as `RateLimitError`.',
    error_message String CODEC(ZSTD(1)) COMMENT 'Cut to 500 characters and scrubbed of secrets before it is stored.',
    error_http_status Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'HTTP status of the model\'s answer.',
    error_stage LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Step of the call that failed.',
    error_class LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Derived from status and type when absent.',
    -- timing, ms
    duration_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'End to end, as the user felt it.',
    time_to_first_chunk_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Streaming calls only.',
    stages_gateway_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'In the API gateway or proxy.',
    stages_queue_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Waiting for a worker or a slot.',
    stages_cold_start_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Starting the function or model.',
    stages_parse_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Reading and checking the request.',
    stages_context_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Loading the conversation\'s context.',
    stages_render_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Rendering the prompt.',
    stages_model_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'The model call itself.',
    stages_output_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Checking and shaping the answer.',
    stages_network_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'On the wire, where measured apart.',
    -- context, caches, retries
    context_hit Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'A multi-turn request found its context in the cache; absent: not reported.',
    response_cache LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The answer itself came from a cache (then the call cost nothing).',
    attempts Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Tries of the call, from 1.',
    fallback_from LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The model that failed before this one.',
    circuit_open Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'A circuit breaker kept the call back.',
    -- compliance, retrieval
    compliance_passed Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'The answer passed the policy.',
    compliance_violations Array(LowCardinality(String)) CODEC(ZSTD(1)) COMMENT 'Names of the rules it broke.',
    retrieval_documents Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Documents put into the prompt.',
    retrieval_hit Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'Something fitting was found.',
    retrieval_latency_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Time of the search.',
    retrieval_top_score Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Score of the best document, any scale.',
    -- runtime
    function LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Serverless function that ran the call.',
    cold_start Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'The function was started for this call.',
    billed_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Time billed by the platform.',
    memory_mb Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Memory of the function.',
    concurrency Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Calls in flight when this one began.',
    queue_length Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Calls waiting when this one began.',
    infra_cost_usd Nullable(Decimal(38, 12)) CODEC(ZSTD(1)) COMMENT 'Cost of the host for this call.',
    gpu_memory_bytes Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'GPU memory in use.',
    gpu_utilization Nullable(Float64) CODEC(ZSTD(1)) COMMENT '0 … 1.',
    -- quality
    quality_score Nullable(Float64) CODEC(ZSTD(1)) COMMENT '0 (bad) … 1 (good).',
    quality_label LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Such as `thumbs_up` or the evaluator\'s verdict.',
    test Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'True: counted apart and kept out of every metric.',
    -- what the worker adds
    window_start DateTime('UTC') CODEC(Delta(4), ZSTD(1)) COMMENT 'Start of the minute that the event counts in.',
    model LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The model that was priced; where no price is known, the one reported.',
    cost_source LowCardinality(String) CODEC(ZSTD(1)) COMMENT '`reported`, `calculated`, `estimated`, `response_cache`; empty: unpriced.',
    unpriced_reason LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Why the cost is unknown; empty: it is known.',
    price_book LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Version of the prices used; empty: none was.',
    price_note LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'What was assumed: `date_assumed`, `tier_assumed`, `model_assumed`, several with commas, or empty.',
    input_tokens_source LowCardinality(String) CODEC(ZSTD(1)) COMMENT '`reported`, `counted`, `estimated`; empty: unknown.',
    output_tokens_source LowCardinality(String) CODEC(ZSTD(1)) COMMENT '`reported`, `counted`, `estimated`; empty: unknown.',
    error_owner LowCardinality(String) CODEC(ZSTD(1)) COMMENT '`provider`, `application`, `user`; empty: no error or unknown.',
    late Bool CODEC(ZSTD(1)) COMMENT 'Its window had already ended by the partition\'s newest event time.',
    input_chars Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Characters of the prompt\'s text; null: it was not sent.',
    output_chars Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Characters of the answer\'s text; null: it was not sent.',
    input_hash String CODEC(ZSTD(1)) COMMENT 'Keyed hash of the prompt, hex; empty: it was not sent.',
    output_hash String CODEC(ZSTD(1)) COMMENT 'Keyed hash of the answer, hex; empty: it was not sent.',
    input_text String CODEC(ZSTD(3)) COMMENT 'The prompt, redacted; only where keeping it is switched on.',
    output_text String CODEC(ZSTD(3)) COMMENT 'The answer, redacted; only where keeping it is switched on.',
    -- where in the log it stood
    source LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Topic and topic id of the record.',
    source_partition Int32 CODEC(T64, ZSTD(1)) COMMENT 'Partition of the record.',
    source_offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset of the record.',
    source_index Int32 CODEC(T64, ZSTD(1)) COMMENT 'Position in a packed record, from 0.',
    sent_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka\'s time of the record.',
    -- ClickHouse's own
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When ClickHouse stored the row; retention counts from here.',
    occurrence_rank UInt64 MATERIALIZED bitShiftLeft(281474976710655 - toUInt64(source_offset), 16)
        + (65535 - toUInt64(source_partition) % 65536) CODEC(Delta(8), ZSTD(1))
        COMMENT 'Internal: highest for the lowest offset, so that of two occurrences of an event the first in the log stays.',
    INDEX event_id_bloom event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX request_id_bloom request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX trace_id_bloom trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX conversation_id_bloom conversation_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(occurrence_rank)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (service, timestamp, event_id)
SETTINGS min_bytes_for_wide_part = 134217728, ttl_only_drop_parts = 1
COMMENT 'One row per event, before merging; read the view `events`.';
