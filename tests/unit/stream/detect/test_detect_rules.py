"""Each rule against histories whose figures stand in the test."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tokentide.stream.detect.history import History
from tokentide.stream.detect.measures import Counts
from tokentide.stream.detect.rules import (
    FINE,
    UNCLEAR,
    UNKNOWN,
    ContextHitRate,
    CostSpike,
    ErrorRate,
    Reading,
)

NOW = 28_401_120  # a whole hour
SPAN = range(NOW - 5, NOW)


def history(*windows: tuple[int, Counts]) -> History:
    found = History()
    for minute, counts in windows:
        found.add(minute, counts.values())
    return found


def evenly(calls: int, **counts: int) -> list[tuple[int, Counts]]:
    """Five minutes with these counts in each."""
    return [(minute, Counts(calls, **counts)) for minute in SPAN]


class TestErrorRate:
    rule = ErrorRate()

    def test_it_is_errors_over_calls_that_were_not_cancelled(self):
        found = self.rule.judge(history(*evenly(100, errors=20, cancelled_calls=20)), NOW)
        assert found.severity == "critical"
        assert found.reading == Reading(Decimal("0.25"), Decimal("0.10"), None, 400)

    def test_only_the_last_five_minutes_count(self):
        windows = [(NOW - 6, Counts(1000, 1000)), *evenly(100), (NOW, Counts(1000, 1000))]
        assert self.rule.judge(history(*windows), NOW) == FINE

    def test_under_twenty_answered_calls_nothing_is_known(self):
        assert self.rule.judge(history((NOW - 1, Counts(19, 19))), NOW) == UNKNOWN
        assert self.rule.judge(history((NOW - 1, Counts(25, 19, 6))), NOW) == UNKNOWN
        assert self.rule.judge(history((NOW - 1, Counts(20, 20))), NOW).standing == "over"

    @pytest.mark.parametrize(
        ("calls", "errors", "expected"),
        [
            # The Wilson lower bounds of 5 of 20: .112, of 4: .081, of 3: .052, of 2: .028.
            (20, 5, "critical"),
            (20, 4, "warning"),
            (20, 3, "warning"),
            (20, 2, None),
            # More calls prove more: 13 % of 200 is .090, of 1,000 it is .111.
            (200, 26, "warning"),
            (1000, 130, "critical"),
        ],
    )
    def test_the_lower_bound_must_be_over_the_limit_not_the_rate(self, calls, errors, expected):
        assert self.rule.judge(history((NOW - 1, Counts(calls, errors))), NOW).severity == expected

    def test_between_recovery_limit_and_warning_it_is_unclear(self):
        assert self.rule.judge(history((NOW - 1, Counts(100, 4))), NOW) == UNCLEAR
        assert self.rule.judge(history((NOW - 1, Counts(100, 3))), NOW) == FINE

    def test_the_limit_of_the_reading_is_that_of_its_severity(self):
        found = self.rule.judge(history((NOW - 1, Counts(200, 26))), NOW)
        assert found.reading is not None
        assert found.reading.limit == Decimal("0.05")

    def test_a_full_span_is_worse_than_twenty_calls_with_the_same_rate(self):
        few, many = (Reading(Decimal("0.5"), Decimal("0.1"), None, samples) for samples in (20, 2000))
        assert self.rule.badness(many) > self.rule.badness(few)

    def test_the_description_has_value_samples_and_limit(self):
        reading = Reading(Decimal("0.341646"), Decimal("0.10"), None, 401)
        assert self.rule.describe(reading) == "error rate 34.2 % (137 of 401 calls) over 5 min, limit 10 %"


class TestCostSpike:
    rule = CostSpike()

    def past(self, *costs: str, calls: int = 50) -> list[tuple[int, Counts]]:
        """One window in each of the blocks before the judged span, the newest last."""
        begin = NOW - 5 - 5 * len(costs)
        return [(begin + 5 * i, Counts(calls, cost_usd=Decimal(cost))) for i, cost in enumerate(costs)]

    def spend(self, cost: str, calls: int = 50) -> tuple[int, Counts]:
        return NOW - 1, Counts(calls, cost_usd=Decimal(cost))

    def test_three_times_the_median_of_the_past_is_over(self):
        found = self.rule.judge(history(*self.past(*["2.00", "2.20"] * 6), self.spend("6.30")), NOW)
        assert found.severity == "warning"
        assert found.reading == Reading(Decimal("6.30"), Decimal("6.30"), Decimal("2.10"), 50)

    def test_a_hair_under_three_times_is_not(self):
        found = self.rule.judge(history(*self.past(*["2.00", "2.20"] * 6), self.spend("6.299999999999")), NOW)
        assert found == UNCLEAR

    def test_without_an_hour_of_past_nothing_is_known(self):
        assert self.rule.judge(history(*self.past(*["2"] * 11), self.spend("100")), NOW) == UNKNOWN
        assert self.rule.judge(history(*self.past(*["2"] * 12), self.spend("100")), NOW).standing == "over"

    def test_spans_without_calls_are_no_past(self):
        """A series that works by day is not held against its nights."""
        begin = NOW - 5 - 300
        windows = [(begin + 5 * i, Counts(50, cost_usd=Decimal(2))) for i in range(12)]
        found = self.rule.judge(history(*windows, self.spend("5")), NOW)
        assert found == UNCLEAR  # 2.5 times, though 48 of the 60 spans cost nothing

    def test_the_past_ends_six_hours_before_the_span(self):
        begin = NOW - 5 - 360
        for shift, expected in ((0, "over"), (-5, "unknown")):
            windows = [(begin + shift + 5 * i, Counts(50, cost_usd=Decimal(2))) for i in range(12)]
            assert self.rule.judge(history(*windows, self.spend("9")), NOW).standing == expected

    def test_the_judged_span_is_no_part_of_its_past(self):
        """At 4 minutes past the block, the block before last is the newest that ends before the span."""
        end = NOW + 4
        windows = [
            *self.past(*["2"] * 12),
            *[(minute, Counts(50, cost_usd=Decimal(20))) for minute in range(NOW, end)],
        ]
        found = self.rule.judge(history(*windows), end)
        assert found.reading == Reading(Decimal(80), Decimal(6), Decimal(2), 200)

    def test_cents_are_no_spike(self):
        assert self.rule.judge(history(*self.past(*["0.01"] * 12), self.spend("0.66")), NOW) == FINE
        found = self.rule.judge(history(*self.past(*["0.01"] * 12), self.spend("1")), NOW)
        assert found.reading == Reading(Decimal(1), Decimal(1), Decimal("0.01"), 50)

    def test_nine_calls_are_too_few_but_the_money_is_not_fine(self):
        assert self.rule.judge(history(*self.past(*["2"] * 12), self.spend("50", calls=9)), NOW) == UNCLEAR
        assert (
            self.rule.judge(history(*self.past(*["2"] * 12), self.spend("50", calls=10)), NOW).standing
            == "over"
        )

    def test_a_past_that_jumps_about_needs_more_than_three_times(self):
        """Median 4, deviations 3.9 and 4.1: 3.5 robust standard deviations are about $20 more."""
        jumpy = ["0.10", "8.10", "0.10", "8.10"] * 3 + ["4"]
        assert self.rule.judge(history(*self.past(*jumpy), self.spend("14")), NOW) == UNCLEAR
        assert self.rule.judge(history(*self.past(*jumpy), self.spend("26")), NOW).standing == "over"

    def test_a_past_that_cost_nothing_has_only_the_floor(self):
        found = self.rule.judge(history(*self.past(*["0"] * 12), self.spend("1.50")), NOW)
        assert found.reading == Reading(Decimal("1.5"), Decimal(1), Decimal(0), 50)

    def test_it_is_fine_again_under_two_thirds_of_the_limit(self):
        past = self.past(*["2"] * 12)
        assert self.rule.judge(history(*past, self.spend("4.01")), NOW) == FINE
        assert self.rule.judge(history(*past, self.spend("4.03")), NOW) == UNCLEAR

    def test_money_is_exact_to_the_picodollar_and_beyond_64_bits_of_them(self):
        cost = "12345678.123456789012"
        found = self.rule.judge(history(*self.past(*["2"] * 12), self.spend(cost)), NOW)
        assert found.reading is not None
        assert found.reading.value == Decimal(cost)

    def test_the_description_names_the_usual_cost(self):
        spike = Reading(Decimal("12.34"), Decimal("9.03"), Decimal("3.01"), 1412)
        assert self.rule.describe(spike) == (
            "cost $12.34 in 5 min, 4.1 times the usual $3.01 (1,412 calls), limit $9.03"
        )
        new = spike._replace(limit=Decimal(1), baseline=Decimal(0))
        assert self.rule.describe(new) == "cost $12.34 in 5 min, usually $0.00 (1,412 calls), limit $1.00"
        small = spike._replace(baseline=Decimal("0.00321"))
        assert "the usual $0.00321 (" in self.rule.describe(small)


class TestContextHitRate:
    rule = ContextHitRate()

    def past(self, hits: int, reported: int = 20, spans: int = 12) -> list[tuple[int, Counts]]:
        begin = NOW - 5 - 5 * spans
        return [(begin + 5 * i, self.turns(hits, reported)) for i in range(spans)]

    @staticmethod
    def turns(hits: int, reported: int) -> Counts:
        return Counts(2 * reported, context_reported_calls=reported, context_hits=hits)

    def test_under_half_is_over(self):
        found = self.rule.judge(history((NOW - 1, self.turns(49, 100))), NOW)
        assert found.severity == "warning"
        assert found.reading == Reading(Decimal("0.49"), Decimal("0.50"), None, 100)
        assert self.rule.judge(history((NOW - 1, self.turns(50, 100))), NOW) == UNCLEAR

    def test_calls_that_reported_nothing_are_no_misses(self):
        assert self.rule.judge(history((NOW - 1, Counts(500))), NOW) == UNKNOWN

    def test_under_twenty_reports_nothing_is_known(self):
        assert self.rule.judge(history((NOW - 1, self.turns(0, 19))), NOW) == UNKNOWN
        assert self.rule.judge(history((NOW - 1, self.turns(0, 20))), NOW).standing == "over"

    def test_a_drop_of_20_points_against_the_past_is_over(self):
        found = self.rule.judge(history(*self.past(18), (NOW - 1, self.turns(140, 200))), NOW)
        assert found.reading == Reading(Decimal("0.7"), Decimal("0.7"), Decimal("0.9"), 200)

    def test_a_drop_of_19_points_is_not(self):
        assert self.rule.judge(history(*self.past(18), (NOW - 1, self.turns(142, 200))), NOW) == UNCLEAR

    def test_a_drop_that_chance_explains_is_not(self):
        """Twelve of twenty after 80 %: the 99 % interval of 12 of 20 reaches up to 82 %."""
        assert self.rule.judge(history(*self.past(16), (NOW - 1, self.turns(12, 20))), NOW) == UNCLEAR
        assert (
            self.rule.judge(history(*self.past(16), (NOW - 1, self.turns(60, 100))), NOW).standing == "over"
        )

    @pytest.mark.parametrize(("reported", "spans"), [(20, 11), (8, 12)])
    def test_a_short_past_is_none(self, reported, spans):
        """Under an hour, or under a hundred reports in all."""
        windows = [*self.past(reported, reported, spans), (NOW - 1, self.turns(120, 200))]
        assert self.rule.judge(history(*windows), NOW) == FINE

    def test_under_half_the_limit_is_half_whatever_the_past(self):
        found = self.rule.judge(history(*self.past(18), (NOW - 1, self.turns(80, 200))), NOW)
        assert found.reading == Reading(Decimal("0.4"), Decimal("0.50"), Decimal("0.9"), 200)

    def test_it_is_fine_from_55_percent_and_within_10_points_of_the_past(self):
        assert self.rule.judge(history((NOW - 1, self.turns(109, 200))), NOW) == UNCLEAR
        assert self.rule.judge(history((NOW - 1, self.turns(110, 200))), NOW) == FINE
        assert self.rule.judge(history(*self.past(18), (NOW - 1, self.turns(159, 200))), NOW) == UNCLEAR
        assert self.rule.judge(history(*self.past(18), (NOW - 1, self.turns(160, 200))), NOW) == FINE

    def test_lower_is_worse_and_so_is_more_of_it(self):
        def reading(value: str, samples: int) -> Reading:
            return Reading(Decimal(value), Decimal("0.5"), None, samples)

        assert self.rule.badness(reading("0.2", 100)) > self.rule.badness(reading("0.4", 100))
        assert self.rule.badness(reading("0.2", 1000)) > self.rule.badness(reading("0.2", 20))

    def test_the_description_names_the_usual_rate_if_there_is_one(self):
        reading = Reading(Decimal("0.41"), Decimal("0.583"), Decimal("0.783"), 200)
        assert self.rule.describe(reading) == (
            "context hit rate 41.0 % (82 of 200 multi-turn calls) over 5 min, usually 78.3 %, limit 58.3 %"
        )
        assert self.rule.describe(reading._replace(baseline=None, limit=Decimal("0.50"))) == (
            "context hit rate 41.0 % (82 of 200 multi-turn calls) over 5 min, limit 50 %"
        )


class TestARuleThatCannotWorkIsRefused:
    def test_a_group_without_the_service(self):
        with pytest.raises(ValueError, match="error_rate: group_by must begin with environment, service"):
            ErrorRate(group_by=("provider",))

    def test_a_group_by_something_unknown(self):
        with pytest.raises(ValueError, match="no dimension user_id"):
            ErrorRate(group_by=("environment", "service", "user_id"))

    def test_a_span_of_no_minutes(self):
        with pytest.raises(ValueError, match="window_minutes must be 1 or more"):
            CostSpike(window_minutes=0)
