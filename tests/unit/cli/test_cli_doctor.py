"""The doctor's findings, with services that are not there or answer as told."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import pytest
from fake_clickhouse import Answer, Server
from kafka_errors import kafka_python_errors

from tokentide.cli import kafka_access
from tokentide.cli.commands import doctor as doctor_command
from tokentide.cli.doctor import clickhouse_checks as checks
from tokentide.cli.doctor import installation as local
from tokentide.cli.doctor import kafka_checks
from tokentide.cli.doctor.backlog import Patience, backlog_finding
from tokentide.cli.doctor.findings import Finding, Reporter, is_healthy
from tokentide.cli.doctor.kafka_checks import _membership, _topics
from tokentide.cli.doctor.settings_checks import settings_checks
from tokentide.cli.exits import RefusedError
from tokentide.cli.lag import PartitionLag
from tokentide.cli.main import main
from tokentide.cli.topics import Outcome
from tokentide.config import KafkaSettings, load, load_settings
from tokentide.sql.errors import NewerDatabaseError

errors = kafka_python_errors()
MB, GB = 10**6, 10**9
REPORT = Reporter("area")
NOBODY = {
    "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "TOKENTIDE_CLICKHOUSE_URL": "http://a:c4nary@127.0.0.1:1",
}


def statuses(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.status) for finding in findings]


def no_broker(kafka: KafkaSettings) -> NoReturn:
    """What `admin_client` does when nobody answers; the real one leaves sockets to the garbage collector."""
    with kafka_access.kafka_errors(kafka):
        raise errors.KafkaTimeoutError
    raise AssertionError


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No service and no file."""
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kafka_checks, "admin_client", no_broker)


@pytest.mark.usefixtures("alone")
def test_services_that_do_not_answer_are_failures_with_a_remedy_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", "--json"]) == 1
    shown = capsys.readouterr().out
    report = json.loads(shown)
    assert report["healthy"] is False
    failed = {f["area"]: f for f in report["findings"] if f["status"] == "fail"}
    assert set(failed) == {"kafka", "clickhouse"}
    assert "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS" in failed["kafka"]["remedy"]
    assert "TOKENTIDE_CLICKHOUSE_URL" in failed["clickhouse"]["remedy"]
    assert "c4nary" not in shown


@pytest.mark.usefixtures("alone")
def test_for_a_human_the_remedy_follows_an_arrow(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert (
        "  FAIL  brokers: Kafka at 127.0.0.1:1 does not answer: connection refused\n        → Check" in shown
    )
    assert "checks failed; the arrows say what to do." in shown
    assert "c4nary" not in shown


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("as_json", [True, False])
def test_all_settings_are_listed_with_their_source_and_without_secrets(
    as_json: bool,  # noqa: FBT001 - parametrised
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKENTIDE_CONTENT_HASH_KEY", "c4nary-c4nary-c4nary")
    assert (
        main(["doctor", "--settings", "--set", "topics.partitions=7", *(["--json"] if as_json else [])]) == 0
    )
    shown = capsys.readouterr().out
    assert "c4nary" not in shown
    if as_json:
        listed = json.loads(shown)
        assert listed["topics.partitions"] == {
            "value": 7,
            "from": "--set topics.partitions",
            "variable": "TOKENTIDE_TOPICS_PARTITIONS",
        }
        assert listed["content.hash_key"]["value"] == "**********"
        assert listed["content.hash_key"]["from"] == "TOKENTIDE_CONTENT_HASH_KEY"
        assert listed["clickhouse.url"]["value"] == "http://a:***@127.0.0.1:1/tokentide"
    else:
        (line,) = [line for line in shown.splitlines() if line.startswith("topics.partitions ")]
        assert line.split() == ["topics.partitions", "7", "--set", "topics.partitions"]


def test_warnings_leave_a_set_up_healthy() -> None:
    assert is_healthy([REPORT.ok("a", "t"), REPORT.warn("b", "t", "r"), REPORT.skip("c", "t")])
    assert not is_healthy([REPORT.fail("a", "t", "r")])


def test_a_service_that_refuses_to_answer_is_a_finding() -> None:
    def look() -> list[Finding]:
        raise RefusedError("denied", hint="ask")

    assert list(REPORT.guarded("rights", look)) == [Finding("area", "rights", "fail", "denied", "ask")]


# Installation and machine


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "missing_modules", lambda extra: ["chdb"] if extra == "embedded" else [])
    found = {finding.check: finding for finding in local.installation()}
    assert found["extra [stream]"].status == "ok"
    assert found["extra [embedded]"].status == "warn"
    assert "pip install 'tokentide[embedded]'" in found["extra [embedded]"].remedy


def test_a_spool_folder_that_cannot_be_written_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    settings = load_settings(environ={"TOKENTIDE_SPOOL_DIR": str(tmp_path / "not" / "yet")})
    found = {f.check: f.status for f in local.machine(settings, has_kafka=True, has_clickhouse=True)}
    assert found["spool"] == "fail"


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


def disks_of(
    monkeypatch: pytest.MonkeyPatch, free: Mapping[Path, int], *, spool: Path | None = None
) -> dict[str, Finding]:
    """Findings about this machine, where so many bytes are free on the disks of these folders, and much elsewhere."""

    def usage(folder: Path) -> Usage:
        return Usage(1000 * GB, 0, free.get(Path(folder).absolute(), 500 * GB))

    monkeypatch.setattr(local.shutil, "disk_usage", usage)
    environ = {"TOKENTIDE_SPOOL_DIR": str(spool)} if spool else {}
    found = local.machine(load_settings(environ=environ), has_kafka=True, has_clickhouse=True)
    return {finding.check: finding for finding in found}


def test_a_full_disk_under_the_data_of_up_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "disk, ./tokentide-data" not in disks_of(monkeypatch, {})
    data = tmp_path / "tokentide-data"
    data.mkdir()
    assert disks_of(monkeypatch, {})["disk, ./tokentide-data"].status == "ok"
    assert disks_of(monkeypatch, {data: 1 * GB})["disk, ./tokentide-data"].status == "warn"
    full = disks_of(monkeypatch, {data: 20 * MB})["disk, ./tokentide-data"]
    assert (full.status, full.text) == ("fail", "20.0 MB free of 1.0 TB")
    assert "retention.events_days" in full.remedy


def test_a_full_disk_under_the_spool_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    full = disks_of(monkeypatch, {spool: 3 * MB}, spool=spool)["spool"]
    assert (full.status, full.text) == ("fail", f"{spool}: 3.0 MB free of 1.0 TB")
    assert "spool.dir" in full.remedy
    assert disks_of(monkeypatch, {spool: 200 * MB}, spool=spool)["spool"].status == "warn"
    assert disks_of(monkeypatch, {}, spool=spool)["spool"].status == "ok"


def test_a_spool_in_the_home_folder_is_looked_at_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "spool").mkdir()
    found = disks_of(monkeypatch, {tmp_path / "spool": 3 * MB}, spool=Path("~/spool"))["spool"]
    assert found.status == "fail"


def test_a_spool_larger_than_the_disk_is_a_warning(tmp_path: Path) -> None:
    settings = load_settings(
        environ={"TOKENTIDE_SPOOL_DIR": str(tmp_path), "TOKENTIDE_SPOOL_MAX_BYTES": str(10**18)}
    )
    found = {f.check: f.status for f in local.machine(settings, has_kafka=True, has_clickhouse=True)}
    assert found["spool"] == "warn"


def test_a_taken_port_is_seen() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert not local._is_taken(port)
        listener.listen()
        assert local._is_taken(port)


# Settings


def test_a_file_with_a_secret_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "tokentide.toml"
    file.write_text('[content]\nhash_key = "c4nary-c4nary-c4nary"\n', encoding="utf-8")
    for mode, expected in ((0o644, "warn"), (0o600, None)):
        file.chmod(mode)
        found = {f.check: f for f in settings_checks(load(environ={}, folder=tmp_path))}
        assert (found["file rights"].status if "file rights" in found else None) == expected
        assert "c4nary" not in str(found)


@pytest.mark.parametrize(
    ("environ", "check"),
    [
        ({"CLICKHOUSE_URL": "http://a:b@db.example.org"}, "clickhouse login"),
        (
            {
                "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "KAFKA_SASL_USERNAME": "a",
                "KAFKA_SASL_PASSWORD": "b",
                "KAFKA_ALLOW_PLAINTEXT_SASL": "yes",
            },
            "kafka login",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_TLS_CHECK_HOSTNAME": "no"}, "kafka TLS"),
    ],
)
def test_what_works_and_is_not_wise_is_a_warning(environ: dict[str, str], check: str, tmp_path: Path) -> None:
    loaded = load(environ={f"TOKENTIDE_{name}": value for name, value in environ.items()}, folder=tmp_path)
    assert (check, "warn") in statuses(list(settings_checks(loaded)))


def test_a_password_to_this_machine_or_over_tls_is_no_warning(tmp_path: Path) -> None:
    for url in ("http://a:b@127.0.0.1", "https://a:b@db.example.org"):
        found = statuses(
            list(settings_checks(load(environ={"TOKENTIDE_CLICKHOUSE_URL": url}, folder=tmp_path)))
        )
        assert "clickhouse login" not in dict(found)


def test_price_overrides_that_do_not_exist_are_a_failure(tmp_path: Path) -> None:
    loaded = load(environ={"TOKENTIDE_PRICES_OVERRIDES_FILE": "/nowhere.yaml"}, folder=tmp_path)
    assert ("prices", "fail") in statuses(list(settings_checks(loaded)))


# Kafka


def test_topics_that_are_missing_fail_and_those_that_differ_warn() -> None:
    outcomes = [
        Outcome("a", "missing", 0),
        Outcome("b", "differs", 1, ("x=1 instead of 2",)),
        Outcome("c", "as planned", 4),
    ]
    found = list(_topics(REPORT, outcomes))
    assert statuses(found) == [("a", "fail"), ("b", "warn"), ("c", "ok")]
    assert [finding.remedy for finding in found] == ["tokentide init", "tokentide init --update", ""]


LAGS = [PartitionLag(0, 0, 10, 4), PartitionLag(1, 0, 10, 10)]
STORED = [PartitionLag(0, 0, 10, 10), PartitionLag(1, 0, 10, 10)]


@pytest.mark.parametrize(
    ("members", "lags", "status"),
    [
        (None, LAGS, "skip"),
        (0, LAGS, "warn"),
        (0, STORED, "ok"),
        (2, LAGS, "ok"),
        (3, LAGS, "warn"),
    ],
)
def test_the_group_is_judged_by_members_partitions_and_backlog(
    members: int | None, lags: list[PartitionLag], status: str
) -> None:
    assert [finding.status for finding in _membership(REPORT, "g", members, lags)] == [status]


class Topic:
    """Commits as they are seen, one look after the other; the oldest record that waits is of a certain age."""

    def __init__(self, *looks: Mapping[int, int], oldest_ms: int | None) -> None:
        self._looks = list(looks)
        self._oldest_ms = oldest_ms
        self.asked: Mapping[int, int] = {}

    def committed(self) -> Mapping[int, int]:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]

    def oldest_timestamp_ms(self, starts: Mapping[int, int]) -> int | None:
        self.asked = starts
        return self._oldest_ms


NOW_S = 1_700_000_000.0
STILL = {0: 4, 1: 10}
MOVED = {0: 5, 1: 10}


def backlog_of(topic: Topic, lags: list[PartitionLag], slept_s: list[float] | None = None) -> Finding:
    sleep = ([] if slept_s is None else slept_s).append
    return backlog_finding(REPORT, topic, lags, group="g", clock=lambda: NOW_S, sleep=sleep)


def aged_ms(age_s: float) -> int:
    return round((NOW_S - age_s) * 1000)


def test_the_backlog_names_the_worst_partition() -> None:
    young = Topic(STILL, oldest_ms=aged_ms(1))
    assert "6 records not stored yet, most in partition 0 (6)" in backlog_of(young, LAGS).text
    assert backlog_of(young, STORED).text == "everything that was sent is stored"


def test_of_a_commit_past_the_end_it_says_that_workers_begin_anew() -> None:
    found = backlog_of(Topic({0: 9}, oldest_ms=None), [PartitionLag(0, 0, 3, 9)])
    assert found.status == "warn"
    assert "from its first record" in found.remedy


def test_old_records_of_which_none_is_stored_are_a_warning() -> None:
    slept_s: list[float] = []
    topic = Topic(STILL, oldest_ms=aged_ms(16))
    found = backlog_of(topic, LAGS, slept_s)
    assert found.status == "warn"
    assert "the oldest waits for 16 s, and nothing moved in 6 s" in found.text
    assert "is one running" in found.remedy
    assert topic.asked == {0: 4}, "from the commit on, where something waits"
    assert sum(slept_s) == 6


def test_records_that_nobody_ever_committed_wait_from_the_begin_of_the_log() -> None:
    topic = Topic({}, oldest_ms=aged_ms(60))
    assert backlog_of(topic, [PartitionLag(0, 3, 10, None)]).status == "warn"
    assert topic.asked == {0: 3}


@pytest.mark.parametrize(
    ("topic", "most_s"),
    [
        (Topic(STILL, oldest_ms=aged_ms(14)), 0),
        (Topic(STILL, oldest_ms=None), 0),
        (Topic(MOVED, oldest_ms=aged_ms(3600)), 1),
        (Topic(STILL, STILL, MOVED, oldest_ms=aged_ms(3600)), 3),
    ],
    ids=["young", "only markers of transactions are left", "moves at once", "moves at the next checkpoint"],
)
def test_a_backlog_is_well_while_it_is_young_or_moves(topic: Topic, most_s: float) -> None:
    slept_s: list[float] = []
    assert backlog_of(topic, LAGS, slept_s).status == "ok"
    assert sum(slept_s) <= most_s


def test_workers_that_checkpoint_seldom_have_more_time() -> None:
    settings = load_settings(environ={"TOKENTIDE_WORKER_CHECKPOINT_MAX_SECONDS": "60"})
    assert Patience.with_settings(settings.worker) == Patience(young_s=180, look_s=10)
    assert Patience.with_settings(load_settings(environ={}).worker) == Patience()


# The last line


@pytest.mark.parametrize(
    ("findings", "last"),
    [
        ([REPORT.ok("a", "t")], "All is well."),
        (
            [REPORT.ok("a", "t"), REPORT.skip("workers", "t")],
            "What could be checked is well. Not checked: workers.",
        ),
        (
            [REPORT.warn("a", "t", "r"), REPORT.skip("workers", "t")],
            "No check failed; 1 warning. Not checked: workers.",
        ),
        ([REPORT.fail("a", "t", "r")], "1 of 1 checks failed; the arrows say what to do."),
    ],
)
def test_the_last_line_says_what_was_not_looked_at(
    findings: list[Finding], last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor_command._sum_up(findings)
    assert capsys.readouterr().out == f"{last}\n"


def test_that_only_lengths_are_stored_is_said_of_these_settings_alone(tmp_path: Path) -> None:
    found = {f.check: f for f in settings_checks(load(environ={}, folder=tmp_path))}
    assert "as these settings say" in found["content"].text
    assert "`tokentide up`" in found["content"].text


class Group:
    """What a broker tells of a group."""

    def __init__(self, members: int, error: str | None = None) -> None:
        self._told = {"members": [{}] * members, "error": error}

    def describe_groups(self, groups: list[str]) -> dict[str, dict[str, object]]:
        return {groups[0]: self._told}


def test_a_coordinator_that_moves_is_not_taken_for_a_group_without_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = [Group(0, "[Error 15] CoordinatorNotAvailableError"), Group(3)]
    monkeypatch.setattr("tokentide.cli.kafka_patience.admin_client", lambda _: nullcontext(later.pop(0)))
    monkeypatch.setattr("tokentide.cli.kafka_patience.time.sleep", lambda _: None)
    moving = Group(0, "[Error 16] NotCoordinatorError")
    assert kafka_checks.members(KafkaSettings(), moving, "g") == 3


def test_a_group_that_the_broker_does_not_know_has_nobody() -> None:
    gone = Group(0, "[Error 69] GroupIdNotFoundError")
    assert kafka_checks.members(KafkaSettings(), gone, "g") == 0


# ClickHouse


def clickhouse_findings(*answers: Answer) -> list[Finding]:
    server = Server(*answers)
    with server.running():
        settings = load_settings(
            environ={"TOKENTIDE_CLICKHOUSE_URL": f"http://ann:c4nary@127.0.0.1:{server.port}/metrics"}
        )
        return list(checks.clickhouse_checks(settings))


def test_a_missing_database_points_to_init() -> None:
    found = clickhouse_findings(Answer(b"Ok.\n"), Answer(b'{"v":"26.9.1.1"}'), Answer(b""))
    assert statuses(found) == [("server", "ok"), ("tables", "fail")]
    assert found[1].remedy == "tokentide init"


def test_an_old_server_is_a_warning() -> None:
    found = clickhouse_findings(Answer(b"Ok.\n"), Answer(b'{"v":"24.8.1.1"}'), Answer(b""))
    assert statuses(found)[0] == ("server", "warn")


def test_a_refused_login_is_a_failure_without_the_password() -> None:
    refusal = b"Code: 516. DB::Exception: ann: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"
    (found,) = clickhouse_findings(Answer(b"Ok.\n"), Answer(refusal, 403))
    assert (found.status, found.remedy) == ("fail", "User or password of clickhouse.url are wrong.")
    assert "c4nary" not in str(found)


def client_findings(look: object, *answers: Answer) -> list[Finding]:
    server = Server(*answers)
    with server.running():
        assert callable(look)
        return list(look(server.client()))


@pytest.mark.parametrize(
    ("waiting", "status"),
    [([], "ok"), (["0007_x"], "warn"), (NewerDatabaseError(["0009_y"]), "fail")],
)
def test_the_schema_is_held_against_this_release(
    waiting: list[str] | NewerDatabaseError, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pending(*_: object) -> list[str]:
        if isinstance(waiting, NewerDatabaseError):
            raise waiting
        return waiting

    monkeypatch.setattr("tokentide.sql.migrate.pending", pending)
    monkeypatch.setattr(checks, "sql_client", lambda *_, **__: nullcontext())
    (found,) = checks._migrations(REPORT, load_settings(environ={}))
    assert found.status == status
    assert ("0009_y" in found.text) == isinstance(waiting, NewerDatabaseError)


@pytest.mark.parametrize(("off_s", "status"), [(0, "ok"), (30, "warn"), (-30, "warn")])
def test_a_clock_that_is_off_is_a_warning(off_s: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_700_000_000.0
    monkeypatch.setattr(checks, "time", SimpleNamespace(time=lambda: now_s))
    answer = Answer(b'{"t":%f}' % (now_s + off_s))
    (found,) = client_findings(lambda client: checks._clock(REPORT, client), answer)
    assert found.status == status


def disk_row(name: str, free: int, total: int, unreserved: int | None = None) -> bytes:
    row = {
        "name": name, "path": f"/data/{name}/", "free": str(min(free, free if unreserved is None else unreserved)),
        "total": str(total),
    }  # fmt: skip
    return json.dumps(row).encode() + b"\n"


def test_disks_of_clickhouse_are_told_with_place_and_units_and_a_full_one_is_a_failure() -> None:
    rows = [
        disk_row("empty", 600 * GB, 1000 * GB),
        disk_row("low", 90 * GB, 1000 * GB),
        disk_row("full", 300 * MB, 1000 * GB),
        disk_row("none", 0, 600 * MB),
        disk_row("endless", 2**64 - 1, 2**64 - 1),
    ]
    found = client_findings(lambda client: checks._disks(REPORT, client), Answer(b"".join(rows)))
    assert statuses(found) == [
        ("disk empty", "ok"),
        ("disk low", "warn"),
        ("disk full", "fail"),
        ("disk none", "fail"),
        ("disk endless", "ok"),
    ]
    assert found[2].text == "300.0 MB free of 1.0 TB at /data/full/"
    assert found[3].text == "0 B free of 600.0 MB at /data/none/"
    assert found[4].text == "no limit at /data/endless/"
    assert "retention.events_days" in found[2].remedy
    assert "tokentide init" in found[2].remedy


def rights_of(*answers: Answer) -> Finding:
    (found,) = client_findings(lambda client: checks._rights(REPORT, client, "metrics"), *answers)
    return found


WRITES = Answer(b'{"readonly":0}')


def test_a_user_who_may_only_read_is_a_warning() -> None:
    assert rights_of(WRITES, Answer(b'{"result":0}')).status == "warn"
    assert rights_of(WRITES, Answer(b'{"result":1}')).status == "ok"
    assert (
        rights_of(WRITES, Answer(b"Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)", 400)).status
        == "ok"
    )


def test_the_decoder_that_workers_would_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokentide_native", None)

    def decoder(choice: Any) -> Finding:
        return next(finding for finding in local.installation(choice) if finding.check == "decoder")

    assert (decoder("python").status, decoder("auto").status, decoder("native").status) == (
        "ok",
        "warn",
        "fail",
    )
    assert "not installed" in decoder("auto").text


@pytest.mark.parametrize("readonly", [1, 2])
def test_a_user_with_a_read_only_profile_may_write_nothing_whatever_is_granted(readonly: int) -> None:
    found = rights_of(Answer(b'{"readonly":%d}' % readonly), Answer(b'{"result":1}'))
    assert found.status == "warn"
    assert "good for readers" in found.text


def test_what_a_reader_may_not_look_at_is_not_checked_and_no_failure() -> None:
    denied = Answer(b"Code: 497. DB::Exception: ann: Not enough privileges. (ACCESS_DENIED)", 403)
    (found,) = client_findings(
        lambda client: REPORT.guarded("disks", lambda: checks._disks(REPORT, client)), denied
    )
    assert (found.check, found.status) == ("disks", "skip")
    assert "Not enough privileges" in found.text
