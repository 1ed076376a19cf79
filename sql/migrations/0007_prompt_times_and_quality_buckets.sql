-- Windows answer three more questions: how model time grows with prompt length, how many scores lie below a limit, and
-- how long the longest prompt of a template is. None of them follows from what was kept, and not from the events either
-- once retention has taken those.
--
-- Partials of an earlier release hold 0 and empty maps here, which the views read as `nothing reported`: the segment that
-- is open at the upgrade is folded again, those before it stay as they are. The columns stand where the contract lists
-- them; an older worker that still writes leaves them out.
-- Decimal(38, 0) because a sum of squares or of products outgrows 64 bits.
ALTER TABLE {database}.llm_windows
    ADD COLUMN IF NOT EXISTS quality_buckets Map(Int16, Int64) CODEC(ZSTD(1)) COMMENT 'Calls with a quality score by hundredth: key 49 is 0.49 ≤ score < 0.50, key 100 is a score of 1. [calls]' AFTER quality_score_squares_e8,
    ADD COLUMN IF NOT EXISTS input_tokens_max Int64 CODEC(T64, ZSTD(1)) COMMENT 'The longest prompt. [tokens]' AFTER input_tokens_sketch,
    ADD COLUMN IF NOT EXISTS prompt_time_calls Int64 CODEC(T64, ZSTD(1)) COMMENT 'Calls that ended well and reported the stage `model`, with 1 … 10,000,000 known input tokens: the points of the line of model time over prompt length. [calls]' AFTER input_tokens_max,
    ADD COLUMN IF NOT EXISTS prompt_time_input_tokens Int64 CODEC(T64, ZSTD(1)) COMMENT 'Their input tokens. [tokens]' AFTER prompt_time_calls,
    ADD COLUMN IF NOT EXISTS prompt_time_model_us Int64 CODEC(T64, ZSTD(1)) COMMENT 'Their times in the stage `model`. [us]' AFTER prompt_time_input_tokens,
    ADD COLUMN IF NOT EXISTS prompt_time_squares Decimal(38, 0) CODEC(ZSTD(1)) COMMENT 'Sum of their squared input tokens. [tokens_squared]' AFTER prompt_time_model_us,
    ADD COLUMN IF NOT EXISTS prompt_time_products Decimal(38, 0) CODEC(ZSTD(1)) COMMENT 'Sum of input tokens × time in the stage `model` of each. [token_us]' AFTER prompt_time_squares;
