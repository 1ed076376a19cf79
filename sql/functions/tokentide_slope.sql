-- Question: by how much does y grow with each unit of x, on the least-squares line through n points?
-- Takes: n, Σx, Σy, Σx² and Σxy of the points, as integers; all of them can be added over rows first.
-- Gives: the slope as a Float64, in units of y per unit of x; NULL where no line is determined: fewer than two points, or
--   all of them at one x.
-- Cost: none to speak of.
--
-- (n Σxy − Σx Σy) / (n Σx² − (Σx)²), where each difference is taken in whole numbers of 256 bits: in floating point two
-- large products that are nearly equal would leave nothing but their rounding. Only the quotient is rounded.
CREATE OR REPLACE FUNCTION tokentide_slope AS (n, sum_x, sum_y, sum_xx, sum_xy) ->
    toFloat64(toInt256(n) * toInt256(sum_xy) - toInt256(sum_x) * toInt256(sum_y))
    / nullIf(toFloat64(toInt256(n) * toInt256(sum_xx) - toInt256(sum_x) * toInt256(sum_x)), 0);
