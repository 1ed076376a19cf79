-- Question: how much has been read and stored?
-- Grain: one row.
-- Units: counts and offsets.
-- Time column: none; everything.
-- Cost: reads the ledger, the key of all events, the ids of all evaluations and two columns of all windows.
SELECT
    l.segments AS segments,
    l.records AS records,
    l.gaps AS gaps,
    l.items AS items,
    l.events AS events,
    l.test_events AS test_events,
    l.incomplete_events AS incomplete_events,
    l.duplicates AS duplicates,
    l.rejects AS rejects,
    l.parts AS parts,
    l.evaluations AS evaluations,
    l.lost AS lost,
    (SELECT count() FROM {database}.events) AS event_rows,
    (SELECT count() FROM {database}.evaluations) AS evaluation_rows,
    (SELECT sum(calls + test_calls) FROM {database}.windows) AS window_calls
FROM (
    SELECT
        uniqExact(source, source_partition, segment) AS segments,
        sum(records) AS records,
        sum(gaps) AS gaps,
        sum(items) AS items,
        sum(events) AS events,
        sum(test_events) AS test_events,
        sum(incomplete_events) AS incomplete_events,
        sum(duplicates) AS duplicates,
        sum(rejects) AS rejects,
        sum(parts) AS parts,
        sum(evaluations) AS evaluations,
        sum(lost) AS lost
    FROM {database}.ledger
) AS l
