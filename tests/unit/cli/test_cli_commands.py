"""What `wait`, `tail`, `init`, `audit` and `worker` print and answer, with the services replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import pytest
from kafka_errors import kafka_python_errors

from tokentide.cli import extras
from tokentide.cli.commands import audit as audit_command
from tokentide.cli.commands import init as init_command
from tokentide.cli.commands import tail as tail_command
from tokentide.cli.commands import wait as wait_command
from tokentide.cli.commands import worker as worker_command
from tokentide.cli.exits import ExitCode
from tokentide.cli.log_check import log_states
from tokentide.cli.main import main
from tokentide.cli.topics import Outcome
from tokentide.sql import audit as sql_audit

Capture = pytest.CaptureFixture[str]
errors = kafka_python_errors()


@contextmanager
def nothing(*_: object, **__: object) -> Iterator[None]:
    yield None


# wait


class Offsets:
    """One topic of two partitions."""

    def __init__(self, committed: Mapping[int, int], grows_by: int) -> None:
        self._committed = committed
        self._grows_by = grows_by
        self._end = 1000

    def bounds(self) -> Mapping[int, tuple[int, int]]:
        end, self._end = self._end, self._end + self._grows_by
        return {0: (0, end), 1: (0, 5)}

    def committed(self) -> Mapping[int, int]:
        return self._committed

    def has_records(self, *_: int) -> bool:
        return True


def waited(
    monkeypatch: pytest.MonkeyPatch, committed: Mapping[int, int], *options: str, grows_by: int = 0
) -> int:
    monkeypatch.setattr(wait_command, "admin_client", nothing)
    monkeypatch.setattr(wait_command, "KafkaOffsets", lambda *_, **__: Offsets(committed, grows_by))
    return main(["wait", "--timeout", "0", *options])


def test_waiting_ends_with_0_when_all_is_stored(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert waited(monkeypatch, {0: 1000, 1: 5}) == 0
    assert capsys.readouterr().out == "stored: all of llm.events (1,005 records, waited 0.0 s)\n"


def test_waiting_ends_with_1_and_what_is_left(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert waited(monkeypatch, {0: 400, 1: 5}) == ExitCode.NEGATIVE
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "not stored after 0.0 s: 600 records of llm.events are left"
    assert shown[1].split() == ["partition", "committed", "end", "left"]
    assert shown[3].split() == ["0", "400", "1,000", "600"]
    assert len(shown) == 4


def test_a_group_that_never_committed_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    waited(monkeypatch, {}, "--group-id", "mine")
    assert "The group mine has never committed: is a worker running?" in capsys.readouterr().err


def test_a_topic_that_was_created_anew_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert waited(monkeypatch, {0: 2000, 1: 5}) == ExitCode.NEGATIVE
    shown = capsys.readouterr()
    assert "committed past the end of partitions [0]" in shown.err
    assert "from its first record" in shown.err
    assert "1,000 records of llm.events are left" in shown.out


def test_live_traffic_is_not_taken_for_a_topic_that_was_created_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert waited(monkeypatch, {0: 2000, 1: 5}, grows_by=1000) == 0
    assert capsys.readouterr().err == ""


def test_waiting_for_a_program(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert waited(monkeypatch, {0: 400, 1: 5}, "--json") == ExitCode.NEGATIVE
    report = json.loads(capsys.readouterr().out)
    assert (report["stored"], report["left"], report["topic"]) == (False, 600, "llm.events")
    assert report["partitions"][0] == {"partition": 0, "committed": 400, "end": 1000, "left": 600}


class MovingOffsets(Offsets):
    """Its coordinator moves and comes back before it answers."""

    def __init__(self, failures: list[Exception]) -> None:
        super().__init__({0: 1000, 1: 5}, 0)
        self._failures = failures

    def committed(self) -> Mapping[int, int]:
        if self._failures:
            raise self._failures.pop(0)
        return super().committed()


def test_waiting_goes_on_while_the_coordinator_of_the_group_moves(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    failures = [
        errors.NotCoordinatorError(),
        errors.KafkaConnectionError("reset"),
        errors.NotCoordinatorError(),
    ]
    monkeypatch.setattr(wait_command, "admin_client", nothing)
    monkeypatch.setattr(wait_command, "KafkaOffsets", lambda *_, **__: MovingOffsets(failures))
    monkeypatch.setattr("tokentide.cli.kafka_patience.time.sleep", lambda _: None)
    assert main(["wait", "--timeout", "60"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("stored: all of llm.events")
    assert shown.err.count("NotCoordinator") == 1
    assert "asked again" in shown.err


def test_waiting_for_a_coordinator_that_never_comes_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(wait_command, "admin_client", nothing)
    failures = [errors.NotCoordinatorError() for _ in range(9)]
    monkeypatch.setattr(wait_command, "KafkaOffsets", lambda *_, **__: MovingOffsets(failures))
    assert main(["wait", "--timeout", "0"]) == ExitCode.UNREACHABLE
    assert "NotCoordinator" in capsys.readouterr().err


# tail


class Place(NamedTuple):
    topic: str
    partition: int


class Record(NamedTuple):
    partition: int
    offset: int
    value: bytes | None
    timestamp: int = 1714558830000


class Consumer:
    """A topic of one partition; two records were there at the start, one comes later."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records
        self._position = 0

    def assign(self, _: object) -> None:
        return

    def seek(self, _: Place, offset: int) -> None:
        self._position = offset

    def position(self, _: Place) -> int:
        return self._position

    def poll(self, *, timeout_ms: int) -> dict[Place, list[Record]]:
        assert timeout_ms > 0
        if self._position >= len(self._records):
            raise KeyboardInterrupt
        records, self._position = self._records[self._position :], len(self._records)
        return {Place("t", 0): records}


def tailed(monkeypatch: pytest.MonkeyPatch, values: list[bytes | None], *options: str, end: int = 2) -> int:
    client = Consumer([Record(0, offset, value) for offset, value in enumerate(values)])

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[Consumer]:
        yield client

    monkeypatch.setattr(tail_command, "consumer", opened)
    monkeypatch.setattr(tail_command, "partitions_of", lambda *_: [0])
    monkeypatch.setattr(tail_command, "end_offsets", lambda *_: {0: end})
    monkeypatch.setattr(tail_command, "begin_offsets", lambda *_: {0: 0})
    monkeypatch.setattr(
        tail_command, "_places", lambda topic, partitions: [Place(topic, p) for p in partitions]
    )
    return main(["tail", *options])


EVENTS: list[bytes | None] = [
    b'[{"service": "a"}, {"service": "b"}]',
    b'{"service": "c"}',
    b'{"service": "d"}',
]


def services(shown: str) -> list[str]:
    return [json.loads(line)["service"] for line in shown.splitlines()]


def test_following_begins_at_the_end_and_goes_on_until_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert tailed(monkeypatch, EVENTS, "events", "--json") == ExitCode.INTERRUPTED
    assert services(capsys.readouterr().out) == ["d"]


def test_what_is_there_can_be_shown_without_following(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert tailed(monkeypatch, EVENTS, "events", "--json", "--from-beginning", "--no-follow") == 0
    assert services(capsys.readouterr().out) == ["a", "b", "c"]


def test_a_limit_counts_events_not_records(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert tailed(monkeypatch, EVENTS, "events", "--json", "--from-beginning", "--limit", "1") == 0
    assert services(capsys.readouterr().out) == ["a"]


def test_a_record_that_is_no_event_is_named_by_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    values = [b"\xff\xff", None]
    assert tailed(monkeypatch, values, "events", "--from-beginning", "--no-follow") == 0
    assert capsys.readouterr().out == (
        "0/0: 2 bytes that are no JSON object\n0/1: 0 bytes that are no JSON object\n"
    )
    assert tailed(monkeypatch, values, "events", "--from-beginning", "--no-follow", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == {
        "partition": 0,
        "offset": 0,
        "unreadable_bytes": 2,
    }


def test_refused_records_take_two_lines(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    letter = (
        b'{"reason": "not_json", "value_base64": "bm9wZQ==", "value_bytes": 4, "topic": "t", "offset": 9}'
    )
    assert tailed(monkeypatch, [letter], "rejects", "--from-beginning", "--no-follow", end=1) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "not_json" in first
    assert second.strip() == "nope  (4 bytes)"


def incident(revision: int, **changes: object) -> bytes:
    states = {"anomaly_id": "ab" * 16, "revision": revision, "state": "open", "severity": "critical"}
    return json.dumps({**states, "example_event_ids": [], **changes}).encode()


INCIDENT: list[bytes | None] = [
    incident(1),
    incident(2, example_event_ids=["x"]),
    incident(3, value="0.9"),
    incident(4, value="0.9", state="resolved"),
]


def test_an_incident_is_followed_without_messages_that_only_add_examples(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    options = ("anomalies", "--from-beginning", "--no-follow", "--limit", "3")
    assert tailed(monkeypatch, INCIDENT, *options, end=4) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words[:2] for words in shown] == [
        ["2024-05-01T10:20:30Z", happened] for happened in ("opened", "updated", "resolved")
    ]


def test_a_program_gets_every_message_of_an_incident(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert tailed(monkeypatch, INCIDENT, "anomalies", "--from-beginning", "--no-follow", "--json", end=4) == 0
    assert [json.loads(line)["revision"] for line in capsys.readouterr().out.splitlines()] == [1, 2, 3, 4]


# init


def initialised(monkeypatch: pytest.MonkeyPatch, outcomes: list[Outcome], *options: str) -> int:
    monkeypatch.setattr(init_command, "admin_client", nothing)
    monkeypatch.setattr(init_command, "KafkaTopics", lambda _: None)
    monkeypatch.setattr(init_command, "apply_plans", lambda *_, **__: outcomes)
    monkeypatch.setattr(init_command, "_migrate", lambda *_: ["migration 0001_x"])
    monkeypatch.setattr(init_command, "_pending", lambda *_: ["0001_x", "0002_y"])
    return main(["init", *options])


def test_init_says_what_became_of_topics_and_tables(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert initialised(monkeypatch, [Outcome("llm.events", "created", 4)]) == 0
    assert capsys.readouterr().out == (
        "topic llm.events: created, 4 partitions\ndatabase tokentide: 1 step applied\n"
    )


def test_init_ends_with_1_where_a_topic_differs(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert initialised(monkeypatch, [Outcome("a", "differs", 1, ("1 partitions instead of 4",))]) == 1
    assert "`tokentide init --update` brings them in line" in capsys.readouterr().out


def test_a_dry_run_says_what_would_be_done_and_ends_with_0(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert initialised(monkeypatch, [Outcome("a", "missing", 0)], "--dry-run") == 0
    assert capsys.readouterr().out == ("topic a: to be created\ndatabase tokentide: 2 migrations to apply\n")


@pytest.mark.parametrize(("half", "says"), [("topics", "topic a"), ("tables", "database")])
def test_one_half_leaves_the_other_alone(
    half: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert initialised(monkeypatch, [Outcome("a", "created", 4)], "--only", half) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(says)


def test_without_the_extra_init_makes_no_topics_unless_they_are_all_it_is_to_make(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(extras, "missing_modules", lambda _: ["clickhouse_connect"])
    assert initialised(monkeypatch, [Outcome("a", "created", 4)]) == ExitCode.NOT_READY
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "tokentide init --only topics" in shown.err
    assert initialised(monkeypatch, [Outcome("a", "created", 4)], "--only", "topics") == 0
    assert capsys.readouterr().out == "topic a: created, 4 partitions\n"


def test_init_for_a_program(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert initialised(monkeypatch, [Outcome("a", "created", 4)], "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "as_planned": True,
        "topics": [{"topic": "a", "state": "created", "partitions": 4, "notes": []}],
        "table_steps": ["migration 0001_x"],
    }


# audit


TOTALS = sql_audit.Totals(
    segments=1,
    records=10,
    gaps=0,
    items=30,
    events=25,
    test_events=0,
    incomplete_events=0,
    duplicates=2,
    rejects=3,
    parts=0,
    evaluations=0,
    lost=0,
    event_rows=25,
    evaluation_rows=0,
    window_calls=25,
)


def audited(
    monkeypatch: pytest.MonkeyPatch,
    *,
    rows: bool,
    commits: Mapping[int, int],
    options: list[str],
    **totals: int,
) -> int:
    check = sql_audit.CHECKS[0]
    found = ((1, "a"),) if rows else ()
    result = sql_audit.CheckResult(check, ("n", "text"), found, is_cut=rows)
    report = sql_audit.AuditReport(
        database="tokentide",
        totals=replace(TOTALS, **totals),
        results=(result,),
        duplicates=sql_audit.CheckResult(sql_audit.DUPLICATES, ("id",), (), is_cut=False),
    )
    monkeypatch.setattr(sql_audit, "run_audit", lambda *_, **__: report)
    monkeypatch.setattr(audit_command, "sql_client", nothing)
    states = log_states({0: (0, 10)}, commits, {0: 10})
    monkeypatch.setattr(audit_command, "_log", lambda *_: states)
    return main(["audit", *options])


def test_an_audit_that_agrees_says_why(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert audited(monkeypatch, rows=False, commits={0: 10}, options=[]) == 0
    shown = capsys.readouterr().out
    assert "30 items = 25 accepted + 2 repeated + 3 refused\n" in shown
    assert "stored: 25 events; in windows: 25 calls\n" in shown
    assert "yes      Does each ledger row add up?" in shown
    assert "yes      Is everything that was committed in the ledger?" in shown
    assert shown.endswith("all agree\n")


def test_an_audit_tells_parts_incomplete_calls_and_evaluations_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    some = {"items": 1037, "parts": 1006, "evaluations": 2, "evaluation_rows": 1, "incomplete_events": 1}
    assert audited(monkeypatch, rows=False, commits={0: 10}, options=[], **some) == 0
    shown = capsys.readouterr().out
    assert (
        "1,037 items = 25 accepted + 2 repeated + 3 refused + 1,006 parts of calls + 2 evaluations − 1 incomplete\n"
        in shown
    )
    assert "stored: 25 events, 1 evaluation; in windows: 25 calls\n" in shown
    assert (
        "incomplete: 1 accepted call with a part that never came (`incomplete` in the view `events`)" in shown
    )


@pytest.mark.parametrize(
    ("some", "term"), [({"parts": 1}, "+ 1 part of calls\n"), ({"evaluations": 1}, "+ 1 evaluation\n")]
)
def test_an_audit_leaves_out_what_there_is_none_of(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, some: dict[str, int], term: str
) -> None:
    assert audited(monkeypatch, rows=False, commits={0: 10}, options=[], **some) == 0
    shown = capsys.readouterr().out
    assert f"3 refused {term}" in shown
    assert "incomplete" not in shown


def test_an_audit_that_differs_ends_with_1_and_shows_the_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert audited(monkeypatch, rows=True, commits={0: 10}, options=[]) == ExitCode.NEGATIVE
    shown = capsys.readouterr().out
    assert "differs  Does each ledger row add up?" in shown
    assert "  n  text\n  ─  ────\n  1  a\n  … and more; --max-rows shows them\n" in shown
    assert shown.endswith("they do not agree\n")


def test_a_commit_that_the_ledger_does_not_know_is_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert audited(monkeypatch, rows=False, commits={0: 12}, options=[]) == ExitCode.NEGATIVE
    assert "the commit is past the end" in capsys.readouterr().out
    assert audited(monkeypatch, rows=False, commits={0: 12}, options=["--no-kafka"]) == 0


def test_an_audit_for_a_program(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert audited(monkeypatch, rows=True, commits={0: 4}, options=["--json"]) == ExitCode.NEGATIVE
    report = json.loads(capsys.readouterr().out)
    assert report["agrees"] is False
    assert report["differences"][0]["rows"] == [[1, "a"]]
    assert report["log"][0]["left"] == 6


@pytest.mark.parametrize(
    ("explanation", "says", "never"),
    [
        ("sent again", "nothing else is wrong", "other values"),
        ("sent again with other values?", "sent again with other values", "nothing else is wrong"),
        ("none", "do not explain all differences", "nothing else is wrong"),
    ],
)
def test_an_audit_with_events_sent_again_says_what_it_means_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, explanation: str, says: str, never: str
) -> None:
    again = sql_audit.CheckResult(sql_audit.DUPLICATES, ("event_id",), (("e1",),), is_cut=False)
    minutes = sql_audit.CheckResult(
        next(check for check in sql_audit.CHECKS if check.name == "audit_minutes"),
        ("measure", "in_windows", "explanation"),
        (("calls", 1189, explanation),),
        is_cut=False,
    )
    report = sql_audit.AuditReport(database="t", totals=TOTALS, results=(minutes,), duplicates=again)
    monkeypatch.setattr(sql_audit, "run_audit", lambda *_, **__: report)
    monkeypatch.setattr(audit_command, "sql_client", nothing)
    assert main(["audit", "--no-kafka"]) == ExitCode.NEGATIVE
    shown = capsys.readouterr().out
    said = shown[shown.index("Events were sent again") :]
    assert says in said
    assert never not in said
    assert "ask the view `events`" in said
    assert "docs/delivery.md" in said
    assert "1,189" in shown


# worker


def test_a_worker_without_its_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("tokentide.cli.extras.missing_modules", lambda _: ["faust", "pyarrow"])
    assert main(["worker"]) == ExitCode.NOT_READY
    assert capsys.readouterr().err == (
        "error: `tokentide worker` needs the extra [stream], which is not installed (missing: faust, pyarrow)\n"
        "  pip install 'tokentide[stream]'\n"
    )


def test_the_workers_own_exit_codes_are_those_of_the_help() -> None:
    exits = pytest.importorskip("tokentide.stream.exits", reason="needs the extra [stream]")
    own = {code.value for code in exits.Exit} - {code.value for code in ExitCode}
    assert own == {int(number) for number in re.findall(r"\b2\d\b", worker_command.DESCRIPTION)}


def test_a_mistake_in_the_settings_is_told_once(capsys: Capture) -> None:
    assert main(["worker", "--set", "worker.stages=ingst"]) == ExitCode.USAGE
    assert capsys.readouterr().err.count("--set worker.stages: must be one of") == 1
