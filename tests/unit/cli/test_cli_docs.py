"""docs/commands.md against `--help`, docs/operations.md against the list of metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tokentide.cli.arguments import command_parser
from tokentide.cli.reference import BEGIN, END, commands_markdown, with_generated, written
from tokentide.cli.registry import COMMANDS, Command
from tokentide.cli.views import views_markdown
from tokentide.stream.metrics import Metric, metrics_markdown


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "commands.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_program_generates(page: str) -> None:
    assert page == with_generated(page, commands_markdown()), "run: python -m tokentide.cli.reference docs"


@pytest.fixture(scope="module")
def operations(repository: Path) -> str:
    return (repository / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_metrics_are_those_that_the_program_lists(operations: str) -> None:
    assert operations == with_generated(operations, metrics_markdown()), (
        "run: python -m tokentide.cli.reference docs"
    )


def test_the_views_are_those_of_the_database(repository: Path) -> None:
    page = (repository / "docs" / "views.md").read_text(encoding="utf-8")
    assert page == with_generated(page, views_markdown()), "run: python -m tokentide.cli.reference docs"


def test_the_rules_for_prometheus_name_metrics_that_exist(operations: str) -> None:
    rules = "".join(re.findall(r"expr: (.*)", operations))
    named = set(re.findall(r"tokentide_[a-z_]+", rules))
    assert named
    assert named <= {metric.value.name for metric in Metric}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_option_of_the_help_is_on_the_page(command: Command, page: str) -> None:
    section = page.split(f"### `tokentide {command.name}`\n")[1].split("\n### ", maxsplit=1)[0]
    shown = command_parser(command, command.load()).format_help()
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", shown.split("examples:")[0])) - {"--help"}
    listed = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section))
    assert options <= listed


def test_an_argument_is_written_as_the_user_writes_it() -> None:
    query = next(command for command in COMMANDS if command.name == "query")
    forms = {written(action) for action in command_parser(query, query.load())._actions}
    assert {"SQL", "--file, -f FILE", "--param NAME=VALUE", "--help"} <= {
        form.replace("-h, ", "") for form in forms
    }


def test_replacing_keeps_what_is_written_by_hand() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_generated(page, "new\n") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    with pytest.raises(ValueError, match="lacks the marks"):
        with_generated("no marks", "new")
