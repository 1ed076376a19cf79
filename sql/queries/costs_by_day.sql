-- Question: what did each day cost, and how much of it is known?
-- Grain: one row per day, UTC.
-- Units: USD, exact; coverage 0 … 1.
-- Time column: day, from since (included) to until (excluded).
-- Cost: reads three columns of the windows asked for.
-- Parameters: since, until.
SELECT
    toDate(window_start) AS day,
    sum(w.calls) AS calls,
    sum(w.priced_calls) AS priced_calls,
    priced_calls / nullIf(calls, 0) AS coverage,
    sum(w.cost_usd) AS cost_usd
FROM {database}.windows AS w
WHERE window_start >= {since:DateTime('UTC')} AND window_start < {until:DateTime('UTC')}
GROUP BY day
ORDER BY day
