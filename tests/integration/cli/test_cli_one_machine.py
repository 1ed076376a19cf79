"""The commands against real engines, as a user runs them: `up`, then everything else in other processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from commands_support import Begin, Machine, is_alive, tokentide

from tests.support.waiting import HANGING_S, until

pytestmark = pytest.mark.embedded

DAY = "2024-05-01"
FREE_PORTS = ("--kafka-port", "0", "--clickhouse-port", "0")


def events(service: str, count: int) -> str:
    lines = (
        json.dumps(
            {
                "event_id": f"{service}-{number}",
                "timestamp": f"{DAY}T00:00:{number % 60:02d}Z",
                "service": service,
                "provider": "openai",
                "response_model": "gpt-4o-mini",
                "input_tokens": 1000,
                "output_tokens": 200,
                "status": "error" if number % 10 == 0 else "ok",
            }
        )
        for number in range(count)
    )
    return "\n".join(lines) + "\n"


def test_up_tells_addresses_and_process_ids_in_one_line(machine: Machine) -> None:
    state = machine.state
    assert state["kafka_bootstrap_servers"].startswith("127.0.0.1:")
    assert state["clickhouse_url"].startswith("http://")
    pids = [state["broker"]["pid"], state["clickhouse"]["pid"], *(w["pid"] for w in state["workers"])]
    assert len(set(pids)) == 4
    assert all(map(is_alive, [state["broker"]["pid"], state["clickhouse"]["pid"]]))


def test_what_is_shipped_is_stored_priced_and_counted(machine: Machine, service: str) -> None:
    shipped = machine("ship", "-", "--json", stdin=events(service, 40))
    assert shipped.returncode == 0, shipped.stderr
    assert json.loads(shipped.stdout)["acknowledged"] == 40
    machine.wait()
    # gpt-4o-mini: 0.15 USD a million input tokens, 0.60 output; 40 calls of 1,000 and 200.
    expected = [["40", "4", "40000", "8000", "0.0108"]]
    sql = "SELECT {} FROM {} WHERE service = {{s:String}}"
    of_events = sql.format(
        "count(), countIf(status = 'error'), sum(input_tokens), sum(output_tokens), sum(cost_usd)", "events"
    )
    of_windows = sql.format(
        "sum(calls), sum(errors), sum(input_tokens), sum(output_tokens), sum(cost_usd)", "windows"
    )
    assert machine.query(of_events, s=service) == expected
    assert machine.query(of_windows, s=service) == expected


def test_of_a_prompt_only_its_length_its_tokens_and_a_hash_are_kept(machine: Machine, service: str) -> None:
    event = {
        "timestamp": "2026-01-31T12:00:00Z", "service": service, "request_model": "gpt-4o", "operation": "text_completion",
        "input": "hello world",
    }  # fmt: skip
    lines = "\n".join(json.dumps({**event, "event_id": f"{service}-{number}"}) for number in range(2))
    assert machine("ship", "-", stdin=lines).returncode == 0
    machine.wait()
    sql = "SELECT uniqExact(input_hash), min(length(input_hash)) >= 32, any(input_text), any(input_tokens) FROM events WHERE service = {s:String}"
    assert machine.query(sql, s=service) == [["1", "1", "", "2"]]


def test_what_is_refused_can_be_read_back_in_full(machine: Machine, service: str) -> None:
    bad = f'{{"service": "{service}", "timestamp": "no time", "event_id": "ünï"}}'
    shipped = machine("ship", "-", stdin=f"{bad}\nnot json {service}\n{events(service, 3)}")
    assert shipped.returncode == 1
    assert "line 1: timestamp" in shipped.stderr
    assert "line 2: is not JSON" in shipped.stderr
    machine.wait()
    assert machine.query("SELECT count() FROM events WHERE service = {s:String}", s=service) == [["3"]]
    tail = machine("tail", "rejects", "--from-beginning", "--no-follow", "--json")
    letters = [json.loads(line) for line in tail.stdout.splitlines()]
    texts = {
        letter["value_text"]: letter["reason"]
        for letter in letters
        if service in letter.get("value_text", "")
    }
    assert texts == {bad: "invalid_value", f"not json {service}": "not_json"}
    readable = machine("tail", "rejects", "--from-beginning", "--no-follow").stdout
    assert f"not json {service}" in readable


def test_events_can_be_followed_as_they_were_sent(machine: Machine, service: str) -> None:
    machine("ship", "-", stdin=events(service, 3))
    tail = machine("tail", "events", "--from-beginning", "--no-follow", "--json")
    seen = [event for event in map(json.loads, tail.stdout.splitlines()) if event.get("service") == service]
    by_id = sorted(seen, key=lambda event: event["event_id"])  # partitions are read in any order
    assert by_id == [json.loads(line) for line in events(service, 3).splitlines()]


def test_sending_the_same_again_stores_nothing_twice(machine: Machine, service: str) -> None:
    for _ in range(2):
        machine("ship", "-", stdin=events(service, 20))
    machine.wait()
    assert machine.query("SELECT count() FROM events WHERE service = {s:String}", s=service) == [["20"]]
    assert machine.query("SELECT sum(calls) FROM windows WHERE service = {s:String}", s=service) == [["20"]]


def test_a_user_of_clickhouse_who_may_only_read_can_do_all_that_reads(machine: Machine, service: str) -> None:
    assert machine("ship", "-", "--quiet", stdin=events(service, 5)).returncode == 0
    machine.wait()
    reader = machine.state["clickhouse_url"].replace("default@", "reader@")
    for command in (["audit"], ["query", "SELECT count() FROM events"], ["doctor"]):
        done = machine(*command, "--clickhouse-url", reader)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "reader may not write" in done.stdout


def test_the_audit_agrees_and_the_doctor_is_content(machine: Machine, service: str) -> None:
    machine("ship", "-", stdin=events(service, 5))
    machine.wait()
    audit = machine("audit", "--json")
    assert audit.returncode == 0, audit.stdout
    report = json.loads(audit.stdout)
    assert report["agrees"]
    assert all(state["problem"] is None for state in report["log"])
    doctor = machine("doctor", "--json")
    failed = [f for f in json.loads(doctor.stdout)["findings"] if f["status"] == "fail"]
    assert (doctor.returncode, failed) == (0, [])


def test_init_a_second_time_changes_nothing(machine: Machine) -> None:
    done = machine("init", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {topic["state"] for topic in result["topics"]} == {"as planned"}
    assert [step for step in result["table_steps"] if not step.startswith("retention")] == []


def test_a_worker_that_is_killed_is_started_again_and_nothing_is_lost(machine: Machine, service: str) -> None:
    run_file = Path(machine.state["data_dir"]) / "run.json"
    before = {worker["name"]: worker["pid"] for worker in json.loads(run_file.read_text())["workers"]}
    machine("ship", "-", stdin=events(service, 500))
    os.kill(before["worker-1"], signal.SIGKILL)
    machine("ship", "-", stdin=events(f"{service}-b", 500))
    machine.wait()
    counts = machine.query(
        "SELECT service, sum(calls) FROM windows WHERE startsWith(service, {s:String}) GROUP BY service ORDER BY 1",
        s=service,
    )
    assert counts == [[service, "500"], [f"{service}-b", "500"]]

    def is_another() -> bool:
        after = {worker["name"]: worker["pid"] for worker in json.loads(run_file.read_text())["workers"]}
        return bool(after["worker-1"] != before["worker-1"] and is_alive(after["worker-1"]))

    until(is_another, what="another worker")
    assert "worker-1 is started again" in machine.log.read_text(encoding="utf-8")
    assert machine("audit", "--json").returncode == 0


def test_an_sql_error_ends_with_5_and_a_hint(machine: Machine) -> None:
    for sql, says in (
        ("SELECT * FROM nix", "tokentide init"),
        ("SELECT nix FROM events", "DESCRIBE TABLE"),
        ("SELEC 1", "syntax"),
        ("DROP TABLE llm_events", "read-only"),
        ("SELECT {a:UInt8}", "--param name=value"),
    ):
        done = machine("query", sql)
        assert (done.returncode, done.stdout) == (5, ""), sql
        assert says in done.stderr, sql


def test_a_large_result_streams_and_an_error_in_its_middle_is_an_error(machine: Machine) -> None:
    done = machine("query", "SELECT number FROM numbers(3000000)")
    assert (done.returncode, done.stdout.count("\n")) == (0, 3_000_000)
    broken = machine(
        "query",
        "SELECT number, throwIf(number = 2500000) FROM numbers(3000000) SETTINGS max_block_size = 1000",
    )
    assert broken.returncode == 5
    assert "the result is incomplete" in broken.stderr
    assert "exception" not in broken.stdout.lower()


def test_every_format_of_clickhouse_can_be_asked_for(machine: Machine) -> None:
    done = machine("query", "SELECT 1 AS a, 'x' AS b", "--format", "JSONEachRow")
    assert json.loads(done.stdout) == {"a": 1, "b": "x"}
    assert machine("query", "SELECT 1 AS a FORMAT CSVWithNames").stdout == '"a"\n1\n'


def test_waiting_for_a_group_that_does_not_work_times_out_with_1(machine: Machine, service: str) -> None:
    machine("ship", "-", stdin=events(service, 1))
    done = machine("wait", "--timeout", "0", "--group-id", f"nobody-{service}", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["left"] > 0


def test_a_port_in_use_is_named_with_the_way_out(machine: Machine, tmp_path: Path) -> None:
    port = machine.state["kafka_bootstrap_servers"].rpartition(":")[2]
    done = tokentide("up", "--workers", "0", "--data-dir", tmp_path / "d", "--kafka-port", port)
    assert (done.returncode, done.stdout) == (4, "")
    assert "--kafka-port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_directory_in_use_is_named(machine: Machine) -> None:
    done = tokentide("up", *FREE_PORTS, "--workers", "0", "--data-dir", machine.state["data_dir"])
    assert done.returncode == 4
    assert machine.state["data_dir"] in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_processes_in_order(number: signal.Signals, begin: Begin, tmp_path: Path) -> None:
    up = begin("up", "--data-dir", tmp_path / "data", *FREE_PORTS, "--workers", "0", "--json")
    assert up.stdout is not None
    state = json.loads(up.stdout.readline())
    up.send_signal(number)
    assert up.wait(HANGING_S) == 0
    assert up.stdout.read() == ""
    assert not is_alive(state["broker"]["pid"])
    assert not is_alive(state["clickhouse"]["pid"])
    assert not (tmp_path / "data" / "run.json").exists()


def test_data_of_clickhouse_outlives_the_run(begin: Begin, tmp_path: Path, service: str) -> None:
    for count, workers in (("0", "1"), ("7", "0")):
        up = begin("up", "--data-dir", tmp_path / "data", *FREE_PORTS, "--workers", workers, "--json")
        assert up.stdout is not None
        machine = Machine(json.loads(up.stdout.readline()), tmp_path / "log")
        stored = machine.query("SELECT count() FROM events WHERE service = {s:String}", s=service)
        assert stored == [[count]]
        if count == "0":
            machine("ship", "-", stdin=events(service, 7))
            machine.wait()
        up.send_signal(signal.SIGTERM)
        assert up.wait(HANGING_S) == 0


def test_settings_of_another_kafka_do_not_reach_the_engines_here(begin: Begin, tmp_path: Path) -> None:
    """A file with a login for production, and settings that are meant for workers; the secrets are found nowhere."""
    (tmp_path / "tokentide.toml").write_text(
        '[kafka]\nbootstrap_servers = ["production:9093"]\nsecurity_protocol = "SASL_SSL"\n'
        'sasl_username = "ann"\nsasl_password = "c4nary"\n[windows]\ndimensions = ["service"]\n'
        '[content]\nhash_key = "c4nary-c4nary-c4nary"\n',
        encoding="utf-8",
    )
    data = tmp_path / "data"
    up = begin("up", "--data-dir", data, *FREE_PORTS, "--json", "--config", tmp_path / "tokentide.toml")
    assert up.stdout is not None
    line = up.stdout.readline()
    machine = Machine(json.loads(line), tmp_path / "log")
    machine("ship", "-", stdin=events("only-service", 2) + "refused\n")
    machine.wait()
    assert machine.query("SELECT DISTINCT service, provider FROM windows") == [["only-service", ""]]
    commands = (["doctor", "--json"], ["tail", "rejects", "--from-beginning", "--no-follow", "--json"])
    written = [line, *(machine(*command).stdout for command in commands)]
    written += [Path(f"/proc/{worker['pid']}/cmdline").read_text() for worker in machine.state["workers"]]
    up.send_signal(signal.SIGTERM)
    assert up.wait(HANGING_S) == 0
    written += [file.read_text() for file in (tmp_path / "log", *(data / "logs").iterdir())]
    assert not any("c4nary" in text for text in written)


def test_an_address_given_to_up_is_refused(tmp_path: Path) -> None:
    done = tokentide("up", "--set", "kafka.bootstrap_servers=h:1", "--data-dir", tmp_path / "data")
    assert done.returncode == 2
    assert "brings its own Kafka" in done.stderr


def test_the_demo_runs_to_its_end_without_a_terminal_and_leaves_nothing(tmp_path: Path) -> None:
    done = tokentide("demo", "--seconds", "5", "--history", "2m", environ={"TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all agree" in done.stdout
    suggested = re.search(r"To keep it running.*\n  (.+) up\n", done.stdout)
    assert suggested is not None
    assert f'$ {suggested[1]} query "SELECT service' in done.stdout
    version = subprocess.run([*shlex.split(suggested[1]), "--version"], check=True, capture_output=True)
    assert version.stdout.startswith(b"tokentide ")
    assert "\x1b" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_ended_leaves_no_processes(begin: Begin, tmp_path: Path) -> None:
    demo = begin("demo", "--data-dir", tmp_path / "kept", "--history", "1m")
    assert demo.stdout is not None
    assert demo.stdout.readline().startswith("sending")
    state = json.loads((tmp_path / "kept" / "run.json").read_text())
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(HANGING_S) == 143
    pids = [state["broker"]["pid"], state["clickhouse"]["pid"], state["workers"][0]["pid"]]
    assert not any(map(is_alive, pids))
    assert "Traceback" not in (tmp_path / "log").read_text()
