-- Segments that hold much are read in several spans, each of which has its row in the ledger and its partials.
--
-- A row says from where on what the span holds counts against the limit of a span. NULL is right for rows of an earlier release,
-- and of an older worker that still writes: it read its segment as one span. Whoever goes on with that one does not end it before where
-- the older worker had read to.
ALTER TABLE {database}.llm_ledger
    MODIFY COLUMN first_offset COMMENT 'Offset at which the row begins: the segment\'s first, or where the span before it was full, or what retention had left.',
    MODIFY COLUMN duplicates COMMENT 'Events whose `event_id` had been seen in the span; counted here and nowhere else.',
    MODIFY COLUMN lost COMMENT 'Offsets before the span that retention took before they were read.',
    MODIFY COLUMN min_timestamp COMMENT 'Earliest event time of the span; null: no event.',
    MODIFY COLUMN max_timestamp COMMENT 'Latest event time of the span; null: no event.',
    ADD COLUMN IF NOT EXISTS limited_from Nullable(Int64) CODEC(T64, ZSTD(1)) COMMENT 'Offset from which on what the span holds counts against its limit; null: an older version wrote the row.' AFTER pending_items;

ALTER TABLE {database}.llm_windows
    MODIFY COLUMN first_offset COMMENT 'Offset at which the row begins: the segment\'s first, or where the span before it was full, or what retention had left.',
    MODIFY COLUMN late_calls COMMENT 'Calls whose window had already ended by the partition\'s newest event time in the span. [calls]';
