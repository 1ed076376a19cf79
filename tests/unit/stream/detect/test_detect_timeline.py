"""The life of incidents over handmade windows, with the rule of error rates: over at 30 %, unclear at 5 %, fine at 0 %."""

from __future__ import annotations

from decimal import Decimal

from tokentide.stream.detect.history import History
from tokentide.stream.detect.incident import Incident, anomaly_id
from tokentide.stream.detect.measures import Counts
from tokentide.stream.detect.rules import CostSpike, ErrorRate, Reading
from tokentide.stream.detect.timeline import Timeline, timeline

RULE = ErrorRate(window_minutes=1, silence_minutes=15, cooldown_minutes=10)

FAILING, UNCLEAR, FINE, FEW = Counts(100, 30), Counts(100, 5), Counts(100), Counts(5, 5)
WARNING = Counts(100, 12)  # the lower bound is 7 %


def incidents(windows: dict[int, Counts], newest_minute: int | None = None) -> list[Incident]:
    return timeline(RULE, windows, newest_minute=max(windows) if newest_minute is None else newest_minute)


def test_a_calm_series_has_none():
    assert incidents(dict.fromkeys(range(100), FINE)) == []


def test_an_incident_opens_with_the_first_minute_over_the_limit():
    (found,) = incidents({0: FINE, 1: UNCLEAR, 2: FAILING})
    assert (found.started, found.updated, found.severity, found.resolved) == (2, 3, "critical", None)
    assert found.worst == Reading(Decimal("0.3"), Decimal("0.10"), None, 100)
    assert found.worst_end == 3


def test_unclear_minutes_neither_open_nor_resolve():
    (found,) = incidents({0: FAILING, 1: UNCLEAR, 2: UNCLEAR})
    assert found.is_open
    assert found.updated == 1


def test_the_first_fine_minute_resolves():
    (found,) = incidents({0: FAILING, 1: UNCLEAR, 2: FINE, 3: FINE})
    assert (found.resolved, found.updated) == (3, 3)


def test_severity_rises_and_does_not_fall():
    (found,) = incidents({0: WARNING, 1: FAILING, 2: WARNING})
    assert (found.started, found.severity, found.updated) == (0, "critical", 2)
    assert found.worst.limit == Decimal("0.10")


def test_the_worst_minute_stands_for_the_incident():
    (found,) = incidents({0: FAILING, 1: Counts(100, 60), 2: FAILING})
    assert (found.worst.value, found.worst_end, found.updated) == (Decimal("0.6"), 2, 2)


def test_of_equally_bad_minutes_the_first_stands():
    (found,) = incidents({0: FAILING, 1: FAILING})
    assert (found.worst_end, found.updated) == (1, 1)


def test_silence_resolves_when_the_service_goes_on():
    (found,) = incidents({0: FAILING, 1: FAILING}, newest_minute=15)
    assert found.is_open  # fourteen minutes since the end of minute 1
    (found,) = incidents({0: FAILING, 1: FAILING}, newest_minute=16)
    assert (found.resolved, found.updated) == (17, 17)


def test_too_few_calls_are_silence():
    (found,) = incidents({0: FAILING} | dict.fromkeys(range(1, 20), FEW))
    assert found.resolved == 16


def test_an_unclear_minute_interrupts_silence():
    (found,) = incidents({0: FAILING, 10: UNCLEAR, 24: UNCLEAR})
    assert found.is_open


def test_after_silence_a_fine_minute_does_not_move_the_end():
    (found,) = incidents({0: FAILING, 40: FINE})
    assert found.resolved == 16


def test_over_the_limit_again_within_the_cooldown_opens_the_same_incident_again():
    (found,) = incidents({0: FAILING, 1: FINE, 11: WARNING})
    assert (found.started, found.resolved, found.updated, found.severity) == (0, None, 12, "critical")


def test_over_the_limit_after_the_cooldown_is_another_incident():
    first, second = incidents({0: FAILING, 1: FINE, 12: FAILING})
    assert (first.started, first.resolved) == (0, 2)
    assert (second.started, second.resolved) == (12, None)


def test_over_the_limit_long_after_silence_is_another_incident():
    first, second = incidents({0: FAILING, 100: FAILING})
    assert (first.resolved, second.started) == (16, 100)


def test_an_incident_that_was_opened_again_gets_worse_and_ends():
    (found,) = incidents({0: WARNING, 1: FINE, 5: FAILING, 6: FINE})
    assert (found.severity, found.worst_end, found.resolved) == ("critical", 6, 7)


def test_all_incidents_come_the_earliest_first():
    windows = {minute: FAILING if minute % 30 == 0 else FINE for minute in range(100)}
    assert [found.started for found in incidents(windows)] == [0, 30, 60, 90]


def test_the_id_follows_from_rule_series_and_start():
    checkout = ("default", "checkout", "openai", "gpt-4o")
    name = anomaly_id(RULE, checkout, 28_401_120)
    assert len(name) == 32
    assert int(name, 16) >= 0
    assert name == anomaly_id(RULE, checkout, 28_401_120)
    others = {
        anomaly_id(RULE, checkout, 28_401_121),
        anomaly_id(RULE, ("default", "checkout", "openai", ""), 28_401_120),
        anomaly_id(ErrorRate(id="other"), checkout, 28_401_120),
        anomaly_id(CostSpike(), ("default", "checkout"), 28_401_120),
    }
    assert len(others | {name}) == 5


def test_a_baseline_that_late_data_changes_is_computed_again():
    """The spike stands only as long as the past is what it was when it was first judged."""
    rule = CostSpike()
    history, line = History(), Timeline(rule)

    def spend(minute: int, usd: str) -> None:
        history.add(minute, Counts(50, cost_usd=Decimal(usd)).values())
        line.revised(history, minute)

    for block in range(12):
        spend(5 * block, "2")
    spend(66, "9")
    assert line.evaluated(history, 66).current is not None
    for block in range(12):
        spend(5 * block + 1, "2")
    assert line.evaluated(history, 66).current is None
