"""Every command: its name, its line in the help, and the module that has it.

Modules are imported when their command runs, so that `tokentide --help` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    import argparse


class Example(NamedTuple):
    """One line of the examples in a command's help."""

    command: str
    does: str


class CommandModule(Protocol):
    """What the module of a command provides."""

    DESCRIPTION: str
    EXAMPLES: tuple[Example, ...]

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit code."""


class Command(NamedTuple):
    """One command of the registry."""

    name: str
    group: str
    summary: str

    def load(self) -> CommandModule:
        """Import the command's module."""
        return cast("CommandModule", import_module(f"tokentide.cli.commands.{self.name}"))


_ONE: Final = "One machine, nothing else needed"
_RUN: Final = "Running it on your Kafka and ClickHouse"
_SEND: Final = "Sending events"
_LOOK: Final = "Looking at results"

COMMANDS: Final = (
    Command("demo", _ONE, "Start everything, send made-up traffic with two incidents, show live numbers."),
    Command("up", _ONE, "Start broker, ClickHouse and workers, and keep them running."),
    Command("init", _RUN, "Create the topics and the ClickHouse tables, or bring them up to date."),
    Command("worker", _RUN, "Run one stream worker: events in, windows, rows and incidents out."),
    Command("doctor", _RUN, "Say what is wrong with this set-up, and how to mend it."),
    Command("ship", _SEND, "Send events from a file of JSON lines, or from standard input."),
    Command("replay", _SEND, "Send a recorded trace, at its own pace or faster."),
    Command("simulate", _SEND, "Send made-up traffic, with incidents on request."),
    Command("query", _LOOK, "Ask ClickHouse in SQL."),
    Command("tail", _LOOK, "Follow events, refused records or incidents as they arrive."),
    Command("wait", _LOOK, "Wait until everything that was sent is stored."),
    Command("audit", _LOOK, "Prove that nothing is lost and nothing counted twice."),
    Command("prices", _LOOK, "Look up what a model costs, and check your own prices."),
)
