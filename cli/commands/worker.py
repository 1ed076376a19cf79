"""`tokentide worker`: one stream worker in this process."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from tokentide.cli.arguments import add_settings_arguments, settings_from
from tokentide.cli.extras import import_from_extra
from tokentide.cli.registry import Example

DESCRIPTION = """Run one stream worker: it reads events, counts tokens, prices calls, folds them into windows, writes to
ClickHouse, and opens incidents. More workers share the partitions of the topic; each uses about one processor.

It ends by itself when it cannot go on safely, with one log line that says what to do: let whatever runs it start it
again, which is always safe. SIGTERM and Ctrl-C finish the current checkpoint first.
Exit codes of its own: 20 Kafka cannot be used; 21 ClickHouse refuses rows for good; 22 the consumer was moved behind
its back; 23 it was behind and nothing moved."""
EXAMPLES = (
    Example("tokentide worker", "With the settings of the environment and ./tokentide.toml."),
    Example("tokentide worker --set worker.stages=ingest", "Without detection, which another worker does."),
    Example("tokentide worker --set metrics.port=9100", "With metrics for Prometheus on 127.0.0.1:9100."),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_settings_arguments(parser, ["kafka", "clickhouse"], group_id=True)


def run(args: argparse.Namespace) -> int:
    """Run until told to stop; the worker decides on its exit code."""
    settings = settings_from(args)
    _leave_out("pandas")  # pyarrow imports it where it is, to look whether a list is one of its own: 50 MB
    module = import_from_extra("tokentide.stream.worker", extra="stream", purpose="`tokentide worker`")
    return int(module.run_worker(settings))


class _LeftOut(MetaPathFinder):
    """Lets the import of one package fail as if it were not installed."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname == self._package:
            raise ModuleNotFoundError(f"{fullname} is left out of this process", name=fullname)
        return None


def _leave_out(package: str) -> None:
    sys.meta_path.insert(0, _LeftOut(package))
