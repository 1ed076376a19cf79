-- Question: which value lies at a rank of `fraction` (0 … 1) of a sketch's counts?
-- Takes: a map of log bucket → count, such as `duration_ms_sketch` or `sumMap(duration_ms_sketch)`, and a fraction.
-- Gives: the value that stands for the bucket, in the sketch's unit, at most 0.78 % off; NULL for an empty sketch;
--   an error for a fraction outside 0 … 1.
-- Cost: one sort of the map's keys a row. Merge sketches with sumMap first: quantiles cannot be averaged.
--
-- The same arithmetic as `tokentide.schemas.sketch.quantile`: the nearest rank, and of its bucket the harmonic mean of
-- the bounds. A key is the exponent and six leading mantissa bits of a double, less those of 1.0 (65472 = 1023 × 64),
-- so the bounds are doubles whose bits are the key and the next one, 46 places up. Key -32768 is the bucket of 0.
-- Nested arrayMap over one-element arrays names the steps: a function in SQL has no variables.
CREATE OR REPLACE FUNCTION tokentide_quantile AS (sketch, fraction) ->
    arrayMap(
        key -> arrayMap(
            (lower, upper) -> if(
                key IS NULL OR throwIf(NOT (fraction >= 0 AND fraction <= 1), 'tokentide_quantile: the fraction must be 0 … 1'),
                NULL,
                if(key = -32768, 0., 2. * lower * upper / (lower + upper))
            ),
            [reinterpretAsFloat64(bitShiftLeft(toUInt64(key + 65472), 46))],
            [reinterpretAsFloat64(bitShiftLeft(toUInt64(key + 65473), 46))]
        )[1],
        [if(
            arraySum(mapValues(sketch)) = 0,
            NULL,
            arraySort(mapKeys(sketch))[
                arrayFirstIndex(
                    seen -> seen >= greatest(1, ceil(fraction * arraySum(mapValues(sketch)))),
                    arrayCumSum(arraySort((count, key) -> key, mapValues(sketch), mapKeys(sketch)))
                )
            ]
        )]
    )[1];
