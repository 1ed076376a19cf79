"""Which messages an incident's life makes. The clock is the tests'."""

from __future__ import annotations

from decimal import Decimal

from tokentide.schemas.anomaly import Anomaly
from tokentide.stream.detect.announce import Announcements, Patience
from tokentide.stream.detect.groups import Judged
from tokentide.stream.detect.incident import Incident
from tokentide.stream.detect.messages import incident_of, is_withdrawn, message, series_of
from tokentide.stream.detect.rules import CostSpike, ErrorRate, Reading

RULE = ErrorRate()
SERIES = ("default", "checkout", "openai", "gpt-4o")
START = 28_401_120  # 2024-01-01T00:00Z
READING = Reading(Decimal("0.341646"), Decimal("0.10"), None, 401)
OPEN = Incident(START, "critical", READING, START + 1, START + 1, START + 1)
WORSE = OPEN._replace(worst=READING._replace(value=Decimal("0.5")), worst_end=START + 3, updated=START + 3)
RESOLVED = WORSE._replace(updated=START + 12, resolved=START + 12)
AT_ONCE = Patience(0, 0, 0)


def judged(
    *incidents: Incident, since: int = 0, is_whole: bool = True, final_before: int | None = None
) -> Judged:
    return Judged(RULE, SERIES, incidents, since, is_whole, final_before)


def announcements(*heard: Anomaly, patience: Patience | None = AT_ONCE) -> Announcements:
    found = Announcements([RULE], patience)
    for anomaly in heard:
        found.heard(anomaly)
    return found


def said(by: Announcements, *incidents: Incident, now_s: float = 0.0, **more: int) -> list[tuple[int, str]]:
    by.consider(judged(*incidents, **more), now_s)
    return [(anomaly.revision, _what(anomaly)) for anomaly in by.due(now_s)]


def _what(anomaly: Anomaly) -> str:
    return "withdrawn" if is_withdrawn(anomaly) else anomaly.state


class TestAMessage:
    def test_has_everything_a_reader_needs(self):
        found = message(RULE, SERIES, OPEN, revision=1, examples=["a", "b"])
        assert found.model_dump() == {
            "schema_version": 1,
            "anomaly_id": found.anomaly_id,
            "revision": 1,
            "state": "open",
            "rule": "error_rate",
            "metric": "error_rate",
            "unit": "ratio",
            "severity": "critical",
            "series": {
                "environment": "default",
                "service": "checkout",
                "provider": "openai",
                "model": "gpt-4o",
            },
            "started_at": "2024-01-01T00:00:00Z",
            "updated_at": "2024-01-01T00:01:00Z",
            "resolved_at": None,
            "window_start": "2023-12-31T23:56:00Z",
            "window_seconds": 300,
            "value": "0.341646",
            "limit": "0.1",
            "baseline": None,
            "samples": 401,
            "example_event_ids": ["a", "b"],
            "summary": "error rate 34.2 % (137 of 401 calls) over 5 min, limit 10 %: checkout / openai / gpt-4o",
        }

    def test_of_a_resolved_incident_tells_its_length_and_its_worst(self):
        found = message(RULE, SERIES, RESOLVED, revision=3)
        assert (found.state, found.resolved_at, found.updated_at) == (
            "resolved",
            "2024-01-01T00:12:00Z",
            "2024-01-01T00:12:00Z",
        )
        assert found.summary.startswith(
            "resolved after 12 min, at worst error rate 50.0 % (200 of 401 calls)"
        )

    def test_names_the_environment_and_leaves_out_what_is_unknown(self):
        found = message(RULE, ("production", "checkout", "", "gpt-4o"), OPEN, revision=1)
        assert found.summary.endswith(": checkout / gpt-4o (production)")
        overflow = message(RULE, ("", "__other__", "", ""), OPEN, revision=1)
        assert overflow.summary.endswith(": __other__")

    def test_has_money_in_full_and_without_an_exponent(self):
        reading = Reading(Decimal("12.340000000001"), Decimal(9), Decimal("1E+1"), 50)
        found = message(CostSpike(), SERIES[:2], OPEN._replace(worst=reading), revision=1)
        assert (found.value, found.limit, found.baseline) == ("12.340000000001", "9", "10")

    def test_is_read_back_as_the_incident_it_states(self):
        for incident in (OPEN, WORSE, RESOLVED):
            anomaly = Anomaly.model_validate_json(
                message(RULE, SERIES, incident, revision=1).model_dump_json()
            )
            assert incident_of(anomaly)._replace(judged=0) == incident._replace(judged=0)
            assert series_of(RULE, anomaly) == SERIES


class TestWhatIsSaid:
    def test_a_life_is_opened_updated_and_resolved_each_once(self):
        found = announcements()
        assert said(found, OPEN) == [(1, "open")]
        assert said(found, OPEN._replace(judged=START + 2)) == []
        assert said(found, WORSE) == [(2, "open")]
        assert said(found, RESOLVED) == [(3, "resolved")]
        assert said(found, RESOLVED) == []

    def test_an_incident_that_is_over_when_first_seen_is_said_once(self):
        assert said(announcements(), RESOLVED) == [(1, "resolved")]

    def test_an_incident_that_later_data_takes_away_is_withdrawn(self):
        found = announcements()
        said(found, OPEN)
        assert said(found) == [(2, "withdrawn")]
        assert said(found) == []
        assert said(found, OPEN) == [(3, "open")]

    def test_a_withdrawn_incident_says_so_and_lasts_no_time(self):
        found = announcements()
        found.consider(judged(OPEN), 0)
        found.due(0)
        found.consider(judged(), 0)
        (anomaly,) = found.due(0)
        assert (anomaly.state, anomaly.started_at, anomaly.resolved_at) == (
            "resolved",
            "2024-01-01T00:00:00Z",
            "2024-01-01T00:00:00Z",
        )
        assert anomaly.summary.startswith("withdrawn, later data does not bear it out: error rate 34.2 %")

    def test_an_incident_that_was_never_said_vanishes_without_a_word(self):
        found = announcements(patience=Patience())
        assert said(found, OPEN, now_s=0.0) == []
        assert said(found, now_s=0.5) == []
        assert found.due(100, everything=True) == []

    def test_the_others_of_a_series_are_left_alone_when_only_one_is_judged(self):
        found = announcements()
        said(found, RESOLVED)
        later = OPEN._replace(started=START + 60)
        assert said(found, later, is_whole=False) == [(1, "open")]

    def test_what_began_before_the_known_windows_is_not_withdrawn(self):
        found = announcements()
        said(found, RESOLVED)
        assert said(found, since=START + 1) == []

    def test_while_old_records_are_read_again_only_what_was_long_over_is_said(self):
        over = RESOLVED.resolved or 0
        assert said(announcements(), RESOLVED, final_before=over + 10) == []
        assert said(announcements(), RESOLVED, final_before=over + 11) == [(1, "resolved")]
        assert said(announcements(), OPEN, final_before=over + 999) == []
        found = announcements()
        said(found, RESOLVED)
        assert said(found, final_before=over + 999) == []

    def test_messages_come_in_the_order_of_the_incidents(self):
        found = announcements()
        found.consider(judged(*[OPEN._replace(started=START + minute) for minute in (7, 3, 5)]), 0)
        assert [anomaly.started_at[14:16] for anomaly in found.due(0)] == ["03", "05", "07"]


class TestWhenItIsSaid:
    def test_an_alarm_waits_a_second_and_the_rest_until_it_comes_to_rest(self):
        found = announcements(patience=Patience(alarm_s=1, rest_s=5, most_s=30))
        assert said(found, OPEN, now_s=10.0) == []
        assert said(found, OPEN, now_s=10.9) == []
        assert said(found, WORSE, now_s=11.0) == [(1, "open")]
        assert said(found, RESOLVED, now_s=20.0) == []
        assert said(found, RESOLVED, now_s=24.9) == []
        assert said(found, RESOLVED, now_s=25.0) == [(2, "resolved")]

    def test_what_never_rests_is_said_after_half_a_minute(self):
        found = announcements(patience=Patience(alarm_s=0, rest_s=5, most_s=30))
        said(found, OPEN)
        for second in range(1, 60):
            worse = WORSE._replace(updated=START + second)
            assert said(found, worse, now_s=float(second)) == ([(2, "open")] if second == 31 else [])

    def test_a_higher_severity_is_an_alarm(self):
        found = announcements(patience=Patience(alarm_s=1, rest_s=5, most_s=30))
        said(found, OPEN._replace(severity="warning"))
        found.due(1)
        assert said(found, OPEN, now_s=10.0) == []
        assert said(found, OPEN, now_s=11.0) == [(2, "open")]

    def test_opening_again_is_an_alarm(self):
        found = announcements(RESOLVED_MESSAGE, patience=Patience(alarm_s=1, rest_s=5, most_s=30))
        assert said(found, WORSE, now_s=10.0) == []
        assert said(found, WORSE, now_s=11.0) == [(4, "open")]

    def test_back_to_what_was_said_is_no_news(self):
        found = announcements(patience=Patience(alarm_s=0, rest_s=5, most_s=30))
        said(found, OPEN)
        said(found, RESOLVED, now_s=1.0)
        said(found, OPEN, now_s=2.0)
        assert found.due(100) == []

    def test_at_the_end_everything_is_said(self):
        found = announcements(patience=Patience())
        found.consider(judged(RESOLVED), 0)
        assert len(found.due(0, everything=True)) == 1


RESOLVED_MESSAGE = message(RULE, SERIES, RESOLVED, revision=3, examples=["a"])


class TestWhatWasSaidBefore:
    def test_is_not_repeated(self):
        assert said(announcements(RESOLVED_MESSAGE), RESOLVED) == []

    def test_gives_the_next_revision_and_keeps_the_examples(self):
        found = announcements(RESOLVED_MESSAGE)
        found.consider(judged(WORSE), 0)
        (anomaly,) = found.due(0)
        assert (anomaly.revision, anomaly.example_event_ids) == (4, ["a"])

    def test_counts_by_its_highest_revision_in_whatever_order_it_is_heard(self):
        late = message(RULE, SERIES, OPEN, revision=1)
        assert said(announcements(RESOLVED_MESSAGE, late), RESOLVED) == []
        assert said(announcements(late, RESOLVED_MESSAGE), RESOLVED) == []

    def test_may_be_withdrawn(self):
        assert said(announcements(RESOLVED_MESSAGE)) == [(4, "withdrawn")]

    def test_stays_withdrawn(self):
        withdrawn = message(RULE, SERIES, OPEN, revision=2, is_withdrawn=True)
        assert said(announcements(withdrawn)) == []
        assert said(announcements(withdrawn), OPEN) == [(3, "open")]

    def test_may_be_known_by_its_revision_alone(self):
        found = announcements()
        found.heard_of(RESOLVED_MESSAGE.anomaly_id, 7)
        assert said(found, RESOLVED) == [(8, "resolved")]
        found.heard_of(RESOLVED_MESSAGE.anomaly_id, 5)
        assert said(found, WORSE) == [(9, "open")]

    def test_of_a_rule_that_is_gone_or_grouped_otherwise_only_the_revision_counts(self):
        gone = RESOLVED_MESSAGE.model_copy(update={"rule": "latency"})
        regrouped = RESOLVED_MESSAGE.model_copy(
            update={"series": {"environment": "default", "service": "checkout"}}
        )
        for anomaly in (gone, regrouped):
            assert said(announcements(anomaly)) == []
            assert said(announcements(anomaly), RESOLVED) == [(4, "resolved")]

    def test_what_is_open_can_be_asked_for(self):
        earlier = message(RULE, SERIES, OPEN._replace(started=START - 60), revision=1)
        found = announcements(RESOLVED_MESSAGE, message(RULE, SERIES, OPEN, revision=4), earlier)
        assert found.open_incidents() == {("error_rate", SERIES): OPEN._replace(judged=0)}


class TestExamples:
    def test_come_with_a_revision_of_their_own(self):
        found = announcements()
        found.consider(judged(OPEN), 0)
        (first,) = found.due(0)
        second = found.give_examples(first, ["a", "b"])
        assert second is not None
        assert (second.revision, second.state, second.example_event_ids) == (2, "open", ["a", "b"])
        assert found.give_examples(first, ["a", "b"]) is None
        assert said(found, RESOLVED) == [(3, "resolved")]

    def test_are_not_given_to_a_withdrawn_incident(self):
        found = announcements()
        found.consider(judged(OPEN), 0)
        (first,) = found.due(0)
        said(found)
        assert found.give_examples(first, ["a"]) is None
