-- Question: which calls were judged how, afterwards?
-- Grain: one row per evaluation (evaluation_id), with the call of its service and request_id.
-- Units: scores 0 … 1, NULL where only a label was given; times in UTC.
-- Time column: evaluated_at; timestamp is the call's, NULL where no call is known.
-- Cost: reads all evaluations, and of all calls the service and request_id, whatever time is asked for (less where so few requests
--   are judged that the index of request ids helps); holds the judged calls in memory. Filters on service and request_id reach both.
-- Where several calls have one request_id, the latest counts, since its answer is the one that was seen; a request whose answer
-- never came counts only if there is nothing else. `windows` and `quality` know scores that came with a call, none of these.
-- Needs: evaluations, events
CREATE OR REPLACE VIEW {database}.evaluated_calls
(
    timestamp Nullable(DateTime64(6, 'UTC')) COMMENT 'When the call finished; NULL: no call of this service and request_id is known.',
    evaluated_at DateTime64(6, 'UTC') COMMENT 'When it was judged.',
    service LowCardinality(String) COMMENT 'The application or component that made the call.',
    environment LowCardinality(String) COMMENT 'Of the call; where none is known, of the evaluation.',
    model LowCardinality(String) COMMENT 'The model that was priced; where no price is known, the one reported; empty: no call is known.',
    prompt_name LowCardinality(String) COMMENT 'The template; absent: built by hand.',
    prompt_version LowCardinality(String) COMMENT 'The template\'s version.',
    variant LowCardinality(String) COMMENT 'A/B or shadow group.',
    request_id String COMMENT 'What evaluation and call have in common, within a service.',
    call_event_id String COMMENT 'The call in `events`; empty: none is known.',
    evaluation_id String COMMENT 'The evaluation in `evaluations`: its event_id.',
    quality_score Nullable(Float64) COMMENT '0 (bad) … 1 (good).',
    quality_label LowCardinality(String) COMMENT 'Such as `thumbs_up` or the evaluator\'s verdict.',
    test Nullable(Bool) COMMENT 'True: the call is a test; leave it out of figures.'
)
AS SELECT
    c.timestamp AS timestamp,
    e.timestamp AS evaluated_at,
    e.service AS service,
    if(c.call_event_id = '', e.environment, c.environment) AS environment,
    c.model AS model,
    c.prompt_name AS prompt_name,
    c.prompt_version AS prompt_version,
    c.variant AS variant,
    e.request_id AS request_id,
    c.call_event_id AS call_event_id,
    e.event_id AS evaluation_id,
    e.quality_score AS quality_score,
    e.quality_label AS quality_label,
    c.test AS test
FROM {database}.evaluations AS e
LEFT JOIN (
    SELECT
        service,
        request_id,
        toNullable(timestamp) AS timestamp,
        environment,
        model,
        prompt_name,
        prompt_version,
        variant,
        event_id AS call_event_id,
        test
    FROM {database}.events
    WHERE (service, request_id) IN (SELECT service, request_id FROM {database}.llm_evaluations)
    ORDER BY assembled_from = 'request', timestamp DESC, event_id
    LIMIT 1 BY service, request_id
) AS c ON e.service = c.service AND e.request_id = c.request_id
COMMENT 'One row per evaluation, with its call. Filter by service.';
