"""A plugin that tells what tests cost: processor time, of this process and of the children that have ended.

Wall time says little on a machine that others use too. Nothing fails here: a slow machine is no defect. What a child
takes is counted in the test in which it ends; that of a module or session is counted in none, unless it ends by itself.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any, Final

import pytest

MOST_S: Final = 60.0
"""Above that a test is to be split, to have fewer examples by default, or to be marked `long`."""
_PROPERTY: Final = "cpu_seconds"
_begun: Final = pytest.StashKey[float]()


def _used_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--costs", type=int, default=0, metavar="N", help="show the N tests of most CPU time")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    item.stash[_begun] = _used_s()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if call.when == "call":  # what ends later may be of all the tests before
        report.user_properties.append((_PROPERTY, _used_s() - item.stash[_begun]))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = sorted(
        (
            (cost_s, report.nodeid)
            for reports in terminalreporter.stats.values()
            for report in reports
            if getattr(report, "when", None) == "call"
            for name, cost_s in report.user_properties
            if name == _PROPERTY
        ),
        reverse=True,
    )
    shown = found[: config.getoption("--costs")]
    if not shown:
        return
    terminalreporter.section("CPU seconds")
    for cost_s, name in shown:
        terminalreporter.write_line(f"{cost_s:8.1f} {name}")
    terminalreporter.write_line(
        f"{sum(1 for cost_s, _ in found if cost_s > MOST_S)} of {len(found)} tests took more than {MOST_S:g} s, "
        f"all together {sum(cost_s for cost_s, _ in found):.0f} s"
    )
