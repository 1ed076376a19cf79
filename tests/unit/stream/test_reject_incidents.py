from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tokentide.schemas.anomaly import Anomaly
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.reject_alarm import RejectAlarm, Saying
from tokentide.stream.reject_incidents import RejectIncidents
from tokentide.stream.taken import Runs, Taken

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
REFUSED = {RejectReason.CLOCK: 50, RejectReason.MISSING_FIELD: 150}
SHARE = Saying("share", is_over=False, accepted=800, refused=REFUSED, run=0)
RUN = Saying(
    "run",
    is_over=False,
    accepted=9,
    refused={RejectReason.NOT_JSON: 1_200, RejectReason.CLOCK: 3_000},
    run=1_200,
)


def incidents(*partitions: int, heard: list[Anomaly] | None = None) -> RejectIncidents:
    made = RejectIncidents("llm.events", share=0.01, run=1_000)
    begun = made.begin(heard or [], set(partitions) or {0, 1, 2}, NOW)
    assert begun.messages == []
    return made


def told(made: RejectIncidents, saying: Saying, after_s: float = 0.0) -> Anomaly:
    found = made.message(saying, NOW + timedelta(seconds=after_s))
    assert found is not None
    return found


def test_a_share_becomes_an_incident_that_says_how_much_of_what_was_refused_and_why() -> None:
    found = told(incidents(), SHARE)
    assert found.model_dump(exclude={"anomaly_id", "schema_version"}) == {
        "revision": 1,
        "state": "open",
        "rule": "rejected_share",
        "metric": "rejected_share",
        "unit": "ratio",
        "severity": "critical",
        "series": {"topic": "llm.events", "partitions": "0-2"},
        "started_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
        "resolved_at": None,
        "window_start": "2026-01-02T02:59:05Z",
        "window_seconds": 300,
        "value": "0.2",
        "limit": "0.01",
        "baseline": None,
        "samples": 1_000,
        "example_event_ids": [],
        "summary": "20.0% of 1,000 events of llm.events (partitions 0-2) refused in 5 min: 150 missing_field, 50 clock",
    }


def test_a_run_becomes_one_too() -> None:
    found = told(incidents(), RUN)
    assert (found.rule, found.unit, found.value, found.limit) == ("rejected_run", "events", "1200", "1000")
    assert found.samples == 1_200
    assert found.summary == (
        "1,200 events in a row refused on one partition of llm.events (partitions 0-2); "
        "of all refused in 5 min: 3,000 clock, 1,200 not_json"
    )


def test_it_is_one_incident_from_beginning_to_end() -> None:
    made = incidents()
    opened = told(made, SHARE)
    worse = told(made, SHARE._replace(accepted=300), after_s=300)
    ended = told(made, SHARE._replace(is_over=True), after_s=420)
    assert {found.anomaly_id for found in (worse, ended)} == {opened.anomaly_id}
    assert [found.revision for found in (opened, worse, ended)] == [1, 2, 3]
    assert (worse.state, worse.value, worse.started_at) == ("open", "0.4", opened.started_at)
    assert (ended.state, ended.resolved_at) == ("resolved", "2026-01-02T03:11:05Z")
    assert ended.summary == f"resolved after 7 min: {worse.summary}"


def test_what_has_not_changed_is_not_repeated() -> None:
    made = incidents()
    told(made, SHARE)
    assert made.message(SHARE, NOW + timedelta(minutes=5)) is None


def test_a_run_that_lasts_in_silence_keeps_its_length_and_says_nothing_more() -> None:
    alarm: RejectAlarm[int] = RejectAlarm(share=1.0, run=1_000)
    alarm.observe(0, Taken(refused={RejectReason.NOT_JSON: 1_500}, runs=Runs(1_500, 1_500, 1_500)), now_s=0.0)
    made = incidents()
    found = [
        made.message(saying, NOW + timedelta(seconds=second))
        for second in (0, 301, 602)
        for saying in alarm.due(float(second))
    ]
    assert [message and (message.value, message.samples) for message in found] == [
        ("1500", 1_500),
        None,
        None,
    ]


def test_where_none_were_refused_of_late_no_reasons_are_promised() -> None:
    found = told(incidents(), RUN._replace(refused={}))
    assert found.summary == "1,200 events in a row refused on one partition of llm.events (partitions 0-2)"


def test_the_end_of_what_was_never_told_is_not_told() -> None:
    assert incidents().message(SHARE._replace(is_over=True), NOW) is None


def test_a_second_one_has_an_id_of_its_own() -> None:
    made = incidents()
    first = told(made, SHARE)
    told(made, SHARE._replace(is_over=True), after_s=60)
    assert told(made, SHARE, after_s=120).anomaly_id != first.anomaly_id
    assert told(made, RUN, after_s=120).anomaly_id != first.anomaly_id


def test_the_next_worker_with_the_same_partitions_goes_on_with_it() -> None:
    opened = told(incidents(), SHARE)
    next_one = RejectIncidents("llm.events", share=0.01, run=1_000)
    begun = next_one.begin([opened], {2, 1, 0}, NOW + timedelta(minutes=1))
    assert (begun.continued, begun.messages) == ({"share": 1_000}, [])
    ended = told(next_one, SHARE._replace(is_over=True), after_s=120)
    assert (ended.anomaly_id, ended.revision, ended.state) == (opened.anomaly_id, 2, "resolved")


def test_with_other_partitions_it_is_ended_by_the_owner_of_its_first_and_by_nobody_else() -> None:
    opened = told(incidents(0, 1, 2), SHARE)
    first, second = (RejectIncidents("llm.events", share=0.01, run=1_000) for _ in range(2))
    assert second.begin([opened], {1, 2}, NOW) == ({}, [])
    begun = first.begin([opened], {0, 3}, NOW + timedelta(minutes=3))
    assert begun.continued == {}
    (ended,) = begun.messages
    assert (ended.anomaly_id, ended.revision, ended.state) == (opened.anomaly_id, 2, "resolved")
    assert ended.summary.startswith("resolved after 3 min, its partitions were assigned anew: 20.0% of")
    assert first.begin([], {0}, NOW).messages == []  # once


def test_of_several_messages_of_one_incident_the_last_counts_in_whatever_order_they_come() -> None:
    made = incidents()
    opened, ended = told(made, SHARE), told(made, SHARE._replace(is_over=True), after_s=60)
    for heard in ([opened, ended], [ended, opened]):
        next_one = RejectIncidents("llm.events", share=0.01, run=1_000)
        assert next_one.begin(heard, {0, 1, 2}, NOW) == ({}, [])


def test_incidents_of_other_rules_and_topics_are_none_of_ours() -> None:
    opened = told(incidents(), SHARE)
    others = [
        opened.model_copy(update={"anomaly_id": "a", "rule": "error_rate"}),
        opened.model_copy(update={"anomaly_id": "b", "series": {"topic": "other", "partitions": "0-2"}}),
        opened.model_copy(update={"anomaly_id": "c", "series": {"topic": "llm.events", "partitions": "x"}}),
        opened.model_copy(update={"anomaly_id": "d", "series": {"topic": "llm.events"}}),
        opened.model_copy(update={"anomaly_id": "e", "series": {"topic": "llm.events", "partitions": "²"}}),
        opened.model_copy(update={"anomaly_id": "f", "series": {"topic": "llm.events", "partitions": "٠"}}),
        opened.model_copy(
            update={"anomaly_id": "g", "series": {"topic": "llm.events", "partitions": "9" * 5_000}}
        ),
    ]
    begun = RejectIncidents("llm.events", share=0.01, run=1_000).begin(others, {0, 1, 2}, NOW)
    assert begun == ({}, [])


def test_of_two_open_ones_about_the_same_partitions_the_later_is_ended() -> None:
    earlier = told(incidents(), SHARE)
    later = told(incidents(), SHARE, after_s=60)
    next_one = RejectIncidents("llm.events", share=0.01, run=1_000)
    begun = next_one.begin([later, earlier], {0, 1, 2}, NOW)
    assert [found.anomaly_id for found in begun.messages] == [later.anomaly_id]
    assert told(next_one, SHARE._replace(is_over=True)).anomaly_id == earlier.anomaly_id


@pytest.mark.parametrize(
    ("partitions", "text"),
    [({0}, "0"), ({3, 1, 2}, "1-3"), ({0, 2, 3, 7}, "0,2-3,7"), ({9, 10, 11}, "9-11")],
)
def test_partitions_are_written_as_ranges_and_the_first_is_read_back(partitions: set[int], text: str) -> None:
    opened = told(incidents(*partitions), SHARE)
    assert opened.series["partitions"] == text
    next_one = RejectIncidents("llm.events", share=0.01, run=1_000)
    assert len(next_one.begin([opened], {min(partitions), 99}, NOW).messages) == 1
