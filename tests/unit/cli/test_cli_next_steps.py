"""The commands that `demo` and `up` give to copy: they work for whoever reads them, and show what they promise."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from tests.support.documents import parse_command, simple_commands
from tokentide.cli.arguments import command_parser
from tokentide.cli.commands import demo, up
from tokentide.cli.next_steps import INCIDENT_COURSE, INCIDENT_TRAFFIC, SPEND, program, watch_an_incident
from tokentide.cli.registry import COMMANDS
from tokentide.embedded.run_state import ProcessState, RunState
from tokentide.producers.simulate.incidents import parse_incident, parse_seconds
from tokentide.stream.detect.rules import DEFAULT_RULES

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the program and its interpreter, which PATH may lead to or not."""
    folder = tmp_path / "an environment" / "bin"
    folder.mkdir(parents=True)
    for name in ("tokentide", "python"):
        (folder / name).touch(0o755)
    return folder


def named(folder: Path, started_as: str, *, path: str = "/nowhere") -> str:
    return program(started_as=started_as, executable=str(folder / "python"), path=path)


def test_its_name_is_enough_where_path_leads_to_it(installed):
    assert named(installed, str(installed / "tokentide"), path=str(installed)) == "tokentide"


def test_its_name_is_enough_in_an_environment_that_is_active_however_it_was_started(installed):
    assert named(installed, "/x/__main__.py", path=str(installed)) == "tokentide"


def test_its_name_is_enough_where_the_program_lies_beside_no_interpreter(installed):
    """As `pip install --user` leaves it."""
    started_as = str(installed / "tokentide")
    assert program(started_as=started_as, executable="/usr/bin/python", path=str(installed)) == "tokentide"


@pytest.mark.parametrize(
    ("started_as", "expected"),
    [
        (".venv/bin/tokentide", ".venv/bin/tokentide"),
        ("/opt/my tools/tokentide", "'/opt/my tools/tokentide'"),
        ("tokentide", "./tokentide"),
        ("/tokentide", "/tokentide"),
    ],
)
def test_off_path_it_is_the_file_that_was_started(installed, started_as, expected):
    assert named(installed, started_as) == expected


def test_another_installation_on_path_is_not_meant(installed, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "tokentide").touch(0o755)
    assert named(installed, ".venv/bin/tokentide", path=str(other)) == ".venv/bin/tokentide"


def test_off_path_a_module_is_started_by_its_interpreter(installed):
    line = named(installed, str(installed.parent / "lib" / "tokentide" / "__main__.py"))
    assert shlex.split(line) == [str(installed / "python"), "-m", "tokentide"]


def test_the_lines_are_commands_that_exist():
    for line in watch_an_incident():
        (words,) = simple_commands(line.partition("    #")[0])
        parse_command(["tokentide", *words[len(shlex.split(program())) :]])


def test_the_readme_has_the_same_incident_course_and_query():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"tokentide {INCIDENT_TRAFFIC} &" in readme
    assert f"the incident: {INCIDENT_COURSE}; Ctrl-C" in readme
    assert f"tokentide {SPEND}\n" in readme


def test_the_traffic_goes_on_until_its_incident_can_be_resolved():
    """A series that falls silent stays open; a span of five minutes without the burst, and then some, ends it."""
    (command,) = (command for command in COMMANDS if command.name == "simulate")
    args = command_parser(command, command.load()).parse_args(shlex.split(INCIDENT_TRAFFIC)[1:])
    (incident,) = map(parse_incident, args.incident)
    burst_ends_s = incident.start_s + incident.duration_s
    span_s = max(60 * rule.window_minutes for rule in DEFAULT_RULES)
    assert burst_ends_s + span_s + 60 <= parse_seconds(args.duration)


PROCESS = ProcessState(name="worker-1", pid=1, started_at="2026-01-31T12:00:00Z", log="log")
STATE = RunState(
    kafka_bootstrap_servers="127.0.0.1:19092",
    clickhouse_url="http://default@127.0.0.1:8123/tokentide",
    data_dir="data",
    pid=1,
    started_at="2026-01-31T12:00:00Z",
    broker=PROCESS,
    clickhouse=PROCESS,
    workers=(PROCESS,),
)


@pytest.fixture
def off_path(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.argv", [".venv/bin/tokentide", "demo"])


@pytest.mark.usefixtures("off_path")
def test_up_gives_lines_that_work_off_path(capsys):
    up._summary(STATE)
    said = capsys.readouterr().out.partition("In another terminal:\n")[2].splitlines()
    assert said[0] == "  export TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:19092"
    assert [line.split()[:2] for line in said[1:]] == [
        [".venv/bin/tokentide", name] for name in ("simulate", "tail", "query")
    ]


@pytest.mark.usefixtures("off_path")
def test_the_demo_ends_with_lines_that_work_off_path(capsys):
    demo._say_how_to_go_on(argparse.Namespace(data_dir=Path("my data")))
    said = capsys.readouterr().out
    assert "  .venv/bin/tokentide up --data-dir 'my data'\n" in said
    assert f"  .venv/bin/tokentide {INCIDENT_TRAFFIC} &\n" in said
    assert not re.search(r"(^|\s)tokentide ", said)
