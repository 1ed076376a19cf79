-- Question: how far was each part of the log read, and what was found there?
-- Grain: one row per source, source_partition and segment (65,536 offsets); more, by first_offset, where the segment is read in several spans:
--   it holds much, or retention overtook.
-- Units: counts; times in UTC.
-- Time column: stored_at.
-- Cost: small; one row per 65,536 offsets, or some 150 MB of events.
CREATE OR REPLACE VIEW {database}.ledger
(
    source LowCardinality(String) COMMENT 'Topic and topic id of the log that the row speaks for.',
    source_partition Int32 COMMENT 'Partition of that log.',
    segment Int64 COMMENT 'Which 65,536 offsets of the partition: offset / 65,536.',
    first_offset Int64 COMMENT 'Offset at which the row begins: the segment\'s first, or where the span before it was full, or what retention had left.',
    fold UInt64 COMMENT 'Identifies the settings and price book that the row was computed with.',
    version Int64 COMMENT 'Offset up to which (exclusive) the log was read; the highest version of a row counts.',
    topic LowCardinality(String) COMMENT 'Name of the topic.',
    records Int64 COMMENT 'Records read.',
    gaps Int64 COMMENT 'Offsets without a record: compaction, transaction markers.',
    items Int64 COMMENT 'Events of any type found in the records, packed ones counted singly; accepted, repeated and refused.',
    events Int64 COMMENT 'Accepted calls, sent whole or in parts; each has a row in `llm_events`.',
    test_events Int64 COMMENT 'Of these, the ones marked `test`.',
    incomplete_events Int64 COMMENT 'Of the events, those made of a part whose partner never came; they have no item of their own.',
    duplicates Int64 COMMENT 'Events whose `event_id` had been seen in the span; counted here and nowhere else.',
    rejects Int64 COMMENT 'Refused events or records; each is a dead letter.',
    rejects_by_reason Map(LowCardinality(String), Int64) COMMENT 'The same by reason.',
    parts Int64 COMMENT 'Requests, responses and errors that are part of a call and not its place; it is counted where it was completed or given up.',
    evaluations Int64 COMMENT 'Evaluations; each has a row in `llm_evaluations`.',
    unknown_fields Int64 COMMENT 'Fields of accepted events that the contract does not know.',
    lost Int64 COMMENT 'Offsets before the span that retention took before they were read.',
    min_timestamp Nullable(DateTime64(6, 'UTC')) COMMENT 'Earliest event time of the span; null: no event.',
    max_timestamp Nullable(DateTime64(6, 'UTC')) COMMENT 'Latest event time of the span; null: no event.',
    pending_offsets Array(Int64) COMMENT 'Places of the parts that waited for their partner when the log had been read up to `version`.',
    pending_items Array(Int32) COMMENT 'Position of each of these in its record; as long as `pending_offsets`.',
    limited_from Nullable(Int64) COMMENT 'Offset from which on what the span holds counts against its limit; null: an older version wrote the row.',
    stored_at DateTime64(3, 'UTC') COMMENT 'When ClickHouse stored the row; retention counts from here.'
)
AS SELECT
    source,
    source_partition,
    segment,
    first_offset,
    fold,
    version,
    topic,
    records,
    gaps,
    items,
    events,
    test_events,
    incomplete_events,
    duplicates,
    rejects,
    rejects_by_reason,
    parts,
    evaluations,
    unknown_fields,
    lost,
    min_timestamp,
    max_timestamp,
    pending_offsets,
    pending_items,
    limited_from,
    stored_at
FROM {database}.llm_ledger FINAL
COMMENT 'One row per span of the log: what was read and found.';
