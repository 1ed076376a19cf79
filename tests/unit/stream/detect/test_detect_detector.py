"""From partials to what is said of each series; error rates over one minute make short stories."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.partials import START, Partial, decoded
from tokentide.stream.detect.detector import Detector
from tokentide.stream.detect.groups import Judged
from tokentide.stream.detect.incident import Incident
from tokentide.stream.detect.measures import Counts
from tokentide.stream.detect.room import Limits
from tokentide.stream.detect.rules import CostSpike, ErrorRate, Reading

RULE = ErrorRate(window_minutes=1, silence_minutes=15, cooldown_minutes=10)
SERIES = ("default", "checkout", "openai", "gpt-4o")
FAILING, FINE = Partial(0, Counts(100, 30)), Partial(0, Counts(100))
OTHER_MODEL = {"model": "gpt-4"}


def detector(*, is_complete: bool = True, limits: Limits | None = None) -> Detector:
    return Detector([RULE], is_complete=is_complete, limits=limits)


def take(into: Detector, *partials: Partial) -> None:
    into.take([decoded(partials)])


def stories(judged: list[Judged]) -> dict[str, list[tuple[int, int | None]]]:
    """Start and end of the incidents by model, minutes from START."""
    return {
        found.series[3]: [
            (incident.started - START, None if incident.resolved is None else incident.resolved - START)
            for incident in found.incidents
        ]
        for found in judged
    }


def test_an_incident_is_known_while_its_first_minute_still_fills():
    found = detector()
    take(found, FINE.but(version=10, counts=Counts(10)))
    assert stories(found.judged()) == {"gpt-4o": []}
    take(found, FINE.but(version=30, counts=Counts(30, 12)))
    assert stories(found.judged()) == {"gpt-4o": [(0, None)]}


def test_what_did_not_change_is_not_judged_again():
    found = detector()
    take(found, FAILING, FINE.but(series=OTHER_MODEL))
    assert set(stories(found.judged())) == {"gpt-4o", "gpt-4"}
    assert found.judged() == []
    take(found, FAILING)
    assert found.judged() == []
    take(found, FAILING.but(version=2, series=OTHER_MODEL))
    assert stories(found.judged()) == {"gpt-4": [(0, None)]}


def test_partitions_are_added_up_before_they_are_judged():
    found = detector()
    take(found, FAILING.but(counts=Counts(15, 15)), FAILING.but(partition=1, counts=Counts(15, 15)))
    assert stories(found.judged()) == {"gpt-4o": [(0, None)]}


def test_a_partition_that_comes_later_may_take_an_incident_away():
    found = detector()
    take(found, FAILING)
    found.judged()
    take(found, FINE.but(partition=1, counts=Counts(2000)))
    assert stories(found.judged()) == {"gpt-4o": []}


def test_late_data_moves_the_start_of_an_incident():
    found = detector()
    take(found, FINE, FAILING.but(minute=1))
    found.judged()
    take(found, FAILING.but(partition=1, counts=Counts(100, 100)))
    assert stories(found.judged()) == {"gpt-4o": [(0, None)]}


def test_models_are_judged_apart_and_templates_together():
    found = detector()
    few = Counts(10, 10)
    take(
        found,
        FAILING.but(counts=few, series={"prompt_name": "a"}),
        FAILING.but(counts=few, series={"prompt_name": "b"}),
        FAILING.but(counts=few, series=OTHER_MODEL),
    )
    assert stories(found.judged()) == {"gpt-4o": [(0, None)], "gpt-4": []}


def test_silence_is_told_by_the_other_series_of_the_service():
    found = detector()
    take(found, FAILING)
    found.judged()
    take(found, FINE.but(minute=14, series=OTHER_MODEL))
    assert stories(found.judged()) == {"gpt-4": []}
    take(found, FINE.but(minute=15, series=OTHER_MODEL))
    assert stories(found.judged())["gpt-4o"] == [(0, 16)]


def test_another_service_says_nothing_about_silence():
    """A replay of 2023 beside live traffic: neither may end the other's incidents."""
    found = detector()
    take(found, FAILING)
    found.judged()
    take(found, FINE.but(minute=1_000_000, series={"service": "live"}))
    assert all(judged.series[1] == "live" for judged in found.judged())


def test_test_calls_alone_are_no_minute_and_tell_no_silence():
    found = detector()
    take(found, FAILING)
    found.judged()
    take(
        found,
        FINE.but(minute=30, counts=Counts(0)),
        FINE.but(minute=30, counts=Counts(0), series=OTHER_MODEL),
    )
    assert found.judged() == []


def test_a_new_fold_judges_the_segment_anew():
    found = detector()
    take(found, FAILING, FINE.but(minute=20))
    assert stories(found.judged()) == {"gpt-4o": [(0, 16)]}
    take(found, FINE.but(fold=12, version=5))
    assert stories(found.judged()) == {"gpt-4o": []}


def test_a_new_fold_without_the_newest_minute_sets_the_clock_back():
    found = detector()
    take(found, FAILING, FINE.but(minute=20, series=OTHER_MODEL))
    assert stories(found.judged())["gpt-4o"] == [(0, 16)]
    take(found, FAILING.but(fold=12, version=5))
    assert stories(found.judged())["gpt-4o"] == [(0, None)]


def test_rules_with_different_groupings_see_the_same_partials():
    both = Detector([RULE, CostSpike(min_samples=1, baseline_spans=1)])
    cheap, dear = Counts(10, cost_usd=Decimal(1)), Counts(10, cost_usd=Decimal(5))
    take(
        both,
        FINE.but(counts=cheap),
        FINE.but(minute=10, counts=dear),
        FINE.but(minute=10, counts=dear, series=OTHER_MODEL),
    )
    found = {judged.rule.id: judged for judged in both.judged() if judged.rule.id == "cost_spike"}
    assert found["cost_spike"].series == ("default", "checkout")
    assert found["cost_spike"].incidents[0].worst.value == 10


class TestAfterARestartOnALogWhoseBeginningIsGone:
    def test_nothing_is_judged_before_the_earlier_owner_had_read_to(self):
        found = detector(is_complete=False)
        take(found, FAILING, FINE.but(minute=30))
        assert found.judged() == []
        found.begin()
        take(found, FAILING.but(minute=40))
        assert stories(found.judged()) == {"gpt-4o": [(40, None)]}

    def test_the_last_ten_minutes_before_are_judged_again(self):
        found = detector(is_complete=False)
        take(found, FAILING.but(minute=15), FINE.but(minute=18), FAILING.but(minute=22), FINE.but(minute=30))
        found.begin()
        assert stories(found.judged()) == {"gpt-4o": [(22, 31)]}

    def test_an_incident_that_was_open_goes_on(self):
        found = detector(is_complete=False)
        found.continue_with({(RULE.id, SERIES): _open_since(START - 500)})
        take(found, FINE.but(minute=0), FAILING.but(minute=25))
        found.begin()
        assert stories(found.judged()) == {"gpt-4o": [(-500, None)]}
        take(found, FINE.but(minute=26))
        assert stories(found.judged()) == {"gpt-4o": [(-500, 27)]}

    def test_an_incident_whose_series_fell_silent_ends_by_the_clock_of_its_service(self):
        found = detector(is_complete=False)
        found.continue_with({(RULE.id, SERIES): _open_since(START - 500)})
        take(found, FINE.but(minute=30, series=OTHER_MODEL))
        found.begin()
        assert stories(found.judged())["gpt-4o"] == [(-500, None)]
        take(found, FINE.but(minute=44, series=OTHER_MODEL))
        assert stories(found.judged())["gpt-4o"] == [
            (-500, 45)
        ]  # 15 minutes after 30, the first that is known

    def test_baselines_reach_back_into_what_is_not_judged(self):
        found = Detector([CostSpike(min_samples=1)], is_complete=False)
        usual = Counts(50, cost_usd=Decimal(2))
        take(found, *[FINE.but(minute=5 * block, counts=usual) for block in range(12)])
        found.begin()
        take(found, FINE.but(minute=66, counts=Counts(50, cost_usd=Decimal(9))))
        assert stories_of_cost(found.judged()) == [66]

    def test_spans_reach_back_into_what_is_not_judged(self):
        found = Detector([ErrorRate()], is_complete=False)
        take(found, *[FINE.but(minute=minute) for minute in range(24)])
        found.begin()  # judges from minute 10 on
        assert found.judged()
        take(found, FAILING.but(minute=11, partition=1, counts=Counts(100, 100)))
        (judged,) = found.judged()
        assert [incident.worst.samples for incident in judged.incidents] == [600]  # minutes 7 to 11

    def test_an_incident_that_began_within_the_log_is_not_taken_over(self):
        found = detector()
        found.continue_with({(RULE.id, SERIES): _open_since(START + 1)})
        take(found, FINE, FINE.but(minute=1))
        assert stories(found.judged()) == {"gpt-4o": []}


def _open_since(minute: int) -> Incident:
    reading = Reading(Decimal("0.3"), Decimal("0.10"), None, 100)
    return Incident(minute, "critical", reading, minute + 1, minute + 1, minute + 1)


def stories_of_cost(judged: list[Judged]) -> list[int]:
    return [incident.started - START for found in judged for incident in found.incidents]


class TestWhenMemoryIsShort:
    limits = Limits(rows=100, groups=50)

    def test_rows_stay_bounded_however_long_it_runs(self):
        found = detector(limits=self.limits)
        for minute in range(0, 3_000, 10):
            take(found, *[FINE.but(minute=minute, series={"model": f"m{n}"}) for n in range(8)])
            assert len(found) <= 108
        assert found.group_count == 8

    def test_incidents_go_on_over_what_was_given_up(self):
        found = detector(limits=self.limits)
        ends = []
        for minute in range(500):
            counts = Counts(100, 30 if 150 <= minute < 350 else 0)
            take(found, FINE.but(minute=minute, counts=counts))
            ends += [story for judged in found.judged() for story in stories([judged])["gpt-4o"]]
        assert set(ends) == {(150, None), (150, 351)}

    def test_partials_for_what_was_given_up_are_counted_and_left(self):
        found = detector(limits=self.limits)
        for minute in range(0, 3_000, 10):
            take(found, FINE.but(minute=minute))
        found.judged()
        take(found, FAILING.but(minute=7, version=9))
        assert found.judged() == []
        assert found.late_partials == 1

    def test_a_revision_next_to_what_was_given_up_is_judged_with_it(self):
        """A span of five minutes, of which four are frozen, still has five minutes."""
        whole, short = Detector([ErrorRate()]), Detector([ErrorRate()], limits=self.limits)
        for minute in range(200):
            for found in (whole, short):
                take(found, FINE.but(minute=minute, counts=Counts(100, 2)))
                found.judged()
        (service,) = short._services.values()
        begin = service.frozen_before - START
        assert begin > 0
        late = FAILING.but(minute=begin, partition=1, counts=Counts(100, 60))
        results = []
        for found in (whole, short):
            take(found, late)
            results.append([judged.incidents for judged in found.judged()])
        assert results[0] == results[1] != []

    def test_services_that_are_long_silent_make_room_first(self):
        found = detector(limits=self.limits)
        for pull_request in range(200):
            take(found, FINE.but(minute=60 * pull_request, series={"service": f"pr-{pull_request}"}))
            take(found, FINE.but(minute=60 * pull_request))
        assert found.group_count < 60
        take(found, FAILING.but(minute=60 * 200))
        judged = [judged for judged in found.judged() if judged.series == SERIES]
        assert stories(judged)["gpt-4o"] == [(60 * 200, None)]

    def test_groups_stay_bounded_though_there_are_few_rows(self):
        found = detector(limits=Limits(rows=1_000_000, groups=20))
        for model in range(200):
            take(found, FINE.but(minute=model, series={"model": f"m{model}"}))
            assert found.group_count <= 21

    def test_an_open_incident_keeps_its_series(self):
        found = detector(limits=Limits(rows=1_000_000, groups=20))
        take(found, FAILING)
        for model in range(100):
            take(found, FINE.but(minute=0, series={"service": f"s{model}"}))
        found.judged()
        take(found, FINE.but(minute=1))
        assert stories(found.judged())["gpt-4o"] == [(0, 2)]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_records_may_come_in_any_number_at_once(count):
    found = detector()
    found.take([decoded([FAILING.but(minute=minute)]) for minute in range(count)])
    found.take([])
    assert stories(found.judged()) == {"gpt-4o": [(0, None)]}
