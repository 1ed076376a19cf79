"""`ship` and `replay` on the command line, to standard output; the sending itself is tested with producers."""

from __future__ import annotations

import io
import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tokentide.cli.commands import simulate as simulate_command
from tokentide.cli.commands.replay import speed_of
from tokentide.cli.exits import ExitCode, RefusedError, UnreachableError, UsageError
from tokentide.cli.main import main
from tokentide.cli.sending import time_text, traffic_errors
from tokentide.producers.simulate.run import SimulationReport
from tokentide.producers.traffic_errors import ConnectError, DeliveryError, InputError

GOOD = '{"event_id": "a", "service": "chat", "timestamp": "2024-05-01T00:00:00Z"}\n'
Capture = pytest.CaptureFixture[str]
Shipped = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ship(tmp_path: Path, capfd: Capture) -> Shipped:
    def run(text: str, *options: str) -> tuple[int, str, str]:
        file = tmp_path / "calls.ndjson"
        file.write_text(text, encoding="utf-8")
        code = main(["ship", str(file), "--stdout", *options])
        shown = capfd.readouterr()
        return code, shown.out, shown.err

    return run


def test_events_go_through_as_they_are(ship: Shipped) -> None:
    code, out, _ = ship(GOOD * 3)
    assert (code, out) == (0, GOOD * 3)


def test_lines_that_the_contract_refuses_are_named_sent_and_answered_with_1(ship: Shipped) -> None:
    code, out, err = ship(GOOD + "nope\n")
    assert (code, out) == (ExitCode.NEGATIVE, GOOD + "nope\n")
    assert "line 2: is not JSON" in err
    assert "1 line refused by the contract (sent, to be kept as dead letters)" in err


def test_they_can_be_left_out(ship: Shipped) -> None:
    code, out, err = ship("nope\n" + GOOD, "--invalid", "skip")
    assert (code, out) == (ExitCode.NEGATIVE, GOOD)
    assert "(left out)" in err


def test_of_many_refused_lines_the_first_twenty_are_named(ship: Shipped) -> None:
    _, _, err = ship("nope\n" * 25)
    assert err.count("is not JSON") == 20
    assert "… and 5 more lines" in err


def test_items_sent_before_are_left_out(ship: Shipped) -> None:
    assert ship(GOOD * 3, "--skip-items", "2")[1] == GOOD


def test_the_report_is_one_line_of_json(ship: Shipped) -> None:
    code, out, _ = ship(GOOD + "nope\n", "--json", "--quiet")
    *events, last = out.splitlines()
    report = json.loads(last)
    assert (code, len(events)) == (ExitCode.NEGATIVE, 2)
    assert (report["items"], report["sent"], report["invalid"], report["interrupted"]) == (2, 2, 1, False)
    assert report["problems"][0]["line"] == 2


def test_unknown_fields_are_named_with_the_nearest_and_are_no_failure(ship: Shipped) -> None:
    misspelt = GOOD.replace("{", '{"request_modle": "x", ', 1)
    code, _, err = ship(misspelt * 2, "--quiet")
    assert code == 0
    assert err == (
        "request_modle is no field of the contract; did you mean request_model? (in 2 events; workers ignore it)\n"
    )
    report = json.loads(ship(misspelt, "--json", "--quiet")[1].splitlines()[-1])
    assert [unknown["field"] for unknown in report["unknown_fields"]] == ["request_modle"]


def test_quiet_says_nothing_but_what_is_wrong(ship: Shipped) -> None:
    assert ship(GOOD, "--quiet")[2] == ""


def test_a_file_that_does_not_exist_ends_with_2(capsys: Capture) -> None:
    assert main(["ship", "/nowhere.ndjson", "--stdout"]) == ExitCode.USAGE
    assert "/nowhere.ndjson does not exist" in capsys.readouterr().err


def test_standard_input_that_is_a_terminal_is_a_mistake(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", type("Terminal", (io.StringIO,), {"isatty": lambda _: True})())
    assert main(["ship", "-", "--stdout"]) == ExitCode.USAGE
    assert "nothing is piped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("theirs", "ours", "code"),
    [
        (ConnectError("x"), UnreachableError, 3),
        (DeliveryError("x", acknowledged=5), RefusedError, 5),
        (InputError("x\ny"), UsageError, 2),
    ],
)
def test_errors_of_the_tools_have_their_exit_codes(
    theirs: Exception, ours: type[UsageError | RefusedError | UnreachableError], code: int
) -> None:
    with pytest.raises(ours) as caught, traffic_errors():
        raise theirs
    assert caught.value.exit_code == code
    if isinstance(theirs, DeliveryError):
        assert "5 events were acknowledged" in caught.value.message
        assert "not stored twice" in caught.value.hint
    if isinstance(theirs, InputError):
        assert (caught.value.message, caught.value.hint) == ("x", "y")


# replay


TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,x,8\n"


def replayed(tmp_path: Path, capfd: Capture, *options: str) -> tuple[int, list[str], str]:
    file = tmp_path / "trace.csv"
    file.write_text(TRACE, encoding="utf-8")
    code = main(["replay", "--format", "azure-llm-2023", str(file), "--stdout", *options])
    shown = capfd.readouterr()
    return code, shown.out.splitlines(), shown.err


def test_a_trace_becomes_events_and_rows_that_do_not_are_answered_with_1(
    tmp_path: Path, capfd: Capture
) -> None:
    code, lines, err = replayed(tmp_path, capfd, "--model", "gpt-4o", "--service", "code")
    assert code == ExitCode.NEGATIVE
    (event,) = map(json.loads, lines)
    assert (event["service"], event["request_model"], event["input_tokens"]) == ("code", "gpt-4o", 4808)
    assert event["timestamp"].startswith("2023-11-16T18:17:03.979")
    assert "2" in err


def test_the_report_of_a_replay_is_one_line_of_json(tmp_path: Path, capfd: Capture) -> None:
    _, lines, _ = replayed(tmp_path, capfd, "--json", "--quiet")
    report = json.loads(lines[-1])
    assert (report["rows"], report["sent"], report["bad"]) == (2, 1, 1)
    assert report["first_event"] == "2023-11-16T18:17:03.979Z"


def test_an_option_that_the_mapping_does_not_know_is_a_mistake(tmp_path: Path, capfd: Capture) -> None:
    code, _, err = replayed(tmp_path, capfd, "--option", "modle=x")
    assert code == ExitCode.USAGE
    assert "modle" in err


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("1", 1.0), ("2.5", 2.5), ("10x", 10.0)])
def test_a_speed_is_max_or_a_number(text: str, speed: float | None) -> None:
    assert speed_of(text) == speed


@pytest.mark.parametrize("text", ["0", "-1", "fast", "nan", "inf", ""])
def test_another_speed_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageError, match="--speed"):
        speed_of(text)


def test_known_traces_are_listed(capsys: Capture) -> None:
    assert main(["replay", "--list", "--json"]) == 0
    names = {entry["name"] for entry in json.loads(capsys.readouterr().out)}
    assert {
        "azure-llm-2023",
        "burstgpt",
        "mooncake",
        "ragpulse",
        "otel-spans",
        "claude-code",
        "alibaba-gentd26",
    } <= names
    assert main(["replay", "--list"]) == 0
    assert "--option cache_reporting=…" in capsys.readouterr().out


def test_a_replay_without_a_trace_is_a_mistake(capsys: Capture) -> None:
    assert main(["replay", "x.csv"]) == ExitCode.USAGE
    assert "give --format and the file" in capsys.readouterr().err


def test_times_are_written_in_utc() -> None:
    assert time_text(1_700_000_000_123_456) == "2023-11-14T22:13:20.123Z"
    assert time_text(None) is None


# simulate


def test_simulated_traffic_has_its_truth_beside_it(tmp_path: Path, capfd: Capture) -> None:
    truth = tmp_path / "truth.json"
    options = ["--history", "1m", "--no-live", "--rate", "5", "--seed", "3", "--truth", str(truth)]
    assert main(["simulate", *options, "--stdout", "--quiet"]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(events) == json.loads(truth.read_text(encoding="utf-8"))["events"] > 100


def test_the_same_seed_at_the_same_start_makes_the_same_events(capfd: Capture) -> None:
    options = ["--start", "2024-05-01", "--history", "10", "--no-live", "--stdout", "--quiet"]
    shown = []
    for seed in ("1", "1", "2"):
        assert main(["simulate", *options, "--seed", seed]) == 0
        shown.append(capfd.readouterr().out)
    assert shown[0] == shown[1] != shown[2]


def test_a_share_of_simulated_calls_comes_in_parts(capfd: Capture) -> None:
    options = ["--start", "2024-05-01", "--history", "3m", "--no-live", "--stdout", "--quiet"]
    assert main(["simulate", *options, "--parts", "0.5"]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    kinds = Counter(event.get("event_type") for event in events)
    assert min(kinds[None], kinds["request"], kinds["response"], kinds["evaluation"]) > 10


def test_the_examples_of_incidents_can_be_used(capfd: Capture) -> None:
    incident = "error_burst:service=support-chat,start=0,duration=1m,rate=1"
    options = ["--history", "1m", "--no-live", "--stdout", "--quiet", "--rhythm", "0"]
    assert main(["simulate", *options, "--incident", incident, "--service", "support-chat"]) == 0
    shown = capfd.readouterr().out
    assert shown.count('"status":"error"') > shown.count('"status":"ok"')


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--duration", "soon"], "--duration is a time"),
        (["--history", "x"], "--history is a time"),
        (["--incident", "eror_burst"], "did you mean 'error_burst'?"),
        (["--service", "nobody"], "no service 'nobody'"),
        (["--no-live"], "nothing to do"),
        (
            ["--no-live", "--history", "1m", "--incident", "silence:start=-60,duration=1m"],
            "the incident silence ends before the run begins: its start counts from the begin of the history",
        ),
        (["--no-live", "--history", "1m", "--incident", "silence:start=1m"], "begins after the run ends"),
        (["--duration", "1m", "--incident", "silence:start=2m"], "from the begin of the live part"),
        (["--history", "1m", "--incident", "silence:start=-3m,duration=2m"], "ends before the run begins"),
        (["--start", "sometime"], "--start is a date"),
        (["--rate", "-3"], "rate"),
        (["--parts", "30"], "parts must be 0 … 1"),
    ],
)
def test_a_simulation_that_cannot_be_is_a_mistake(options: list[str], says: str, capsys: Capture) -> None:
    assert main(["simulate", "--stdout", *options]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("error: "), "no progress of what never began"


@pytest.mark.parametrize(
    ("malformed", "line"),
    [
        (0, "5 events acknowledged by Kafka"),
        (2, "5 events acknowledged by Kafka, 2 of them malformed on purpose"),
    ],
)
def test_the_report_says_how_many_events_were_malformed(malformed: int, line: str, capsys: Capture) -> None:
    report = SimulationReport(sent=5, acknowledged=5, malformed=malformed)
    simulate_command._report(Namespace(json=False, stdout=False, history="0"), report)
    assert capsys.readouterr().out == f"{line}\n"
