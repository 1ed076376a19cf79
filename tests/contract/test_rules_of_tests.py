"""What CONTRIBUTING asks of tests, as far as it can be seen in their text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).resolve().parents[1]
IN_VAIN_S: Final = 1.0
"""So long at most something may be waited for that is not to come: longer waits would be for what is."""
LEAST_LIMIT_S: Final = 120.0
CLOCKS: Final = {
    "monotonic",
    "perf_counter",
    "process_time",
    "thread_time",
    "monotonic_ns",
    "perf_counter_ns",
}
WAITING: Final = {"wait", "join", "communicate", "result", "flush", "timeout", "wait_for", "settimeout"}
"""Methods whose last argument may be a limit of time; that of others is called `timeout`."""
EXCEPT: Final = {
    "no clock is read": {
        "support/waiting.py",
        "support/loop_probe.py",  # CPU of one thread
        "unit/stream/test_loop_is_free.py",  # in proportion to that of all
    },
    "children are bound to the tests": {"support/children.py"},
    "the process is left as it was": {"support/isolation.py"},
    "limits are against hanging only": {"unit/stream/test_worker_watch.py"},  # its clock is virtual
}
"""Files that may, by rule."""


def broken_rules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines with the rule that they break."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr=name)) if name in CLOCKS:
                yield node.lineno, "no clock is read"
            case ast.Call(func=ast.Attribute(attr=name)) if any(map(_is_short, _limits(node, name))):
                yield node.lineno, "limits are against hanging only"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="subprocess"), attr="Popen")):
                yield node.lineno, "children are bound to the tests"
            case ast.Call(func=ast.Attribute(attr="setLevel" | "chdir" | "putenv", value=whose)) if not (
                isinstance(whose, ast.Name) and whose.id == "monkeypatch"
            ):
                yield node.lineno, "the process is left as it was"
            case ast.Assign(targets=[ast.Subscript(value=ast.Attribute(attr="environ"))]):
                yield node.lineno, "the process is left as it was"


def _limits(call: ast.Call, name: str) -> Iterator[ast.expr]:
    yield from call.args[-1:] if name in WAITING else ()
    yield from (keyword.value for keyword in call.keywords if keyword.arg == "timeout")


def _is_short(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Constant)
        and type(value.value) in (int, float)
        and IN_VAIN_S < value.value < LEAST_LIMIT_S
    )


def test_all_files_keep_the_rules() -> None:
    found = [
        f"{name}:{line}: {rule}"
        for name, path in sorted((str(path.relative_to(TESTS)), path) for path in TESTS.rglob("*.py"))
        for line, rule in broken_rules(ast.parse(path.read_text(encoding="utf-8")))
        if name not in EXCEPT[rule]
    ]
    assert found == [], "see `Tests` in CONTRIBUTING.md"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("assert time.monotonic() - begin < 5", "no clock is read"),
        ("thread.join(10)", "limits are against hanging only"),
        ("subprocess.run(['x'], timeout=60)", "limits are against hanging only"),
        ("subprocess.Popen(['x'])", "children are bound to the tests"),
        ("logging.getLogger('a').setLevel('DEBUG')", "the process is left as it was"),
        ("os.environ['A'] = 'b'", "the process is left as it was"),
        ("os.chdir('/')", "the process is left as it was"),
    ],
)
def test_a_line_that_breaks_a_rule_is_found(text: str, rule: str) -> None:
    assert [found for _, found in broken_rules(ast.parse(text))] == [rule]


@pytest.mark.parametrize(
    "text",
    [
        "thread.join(HANGING_S)",
        "lock.wait(0.2)",
        "monkeypatch.chdir(path)",
        "worker.wait()",
        "table.get(name, 30)",
    ],
)
def test_a_line_that_keeps_them_is_not(text: str) -> None:
    assert list(broken_rules(ast.parse(text))) == []
