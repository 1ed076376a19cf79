"""docs/traffic.md says what the code does: names, defaults, and an example that works."""

from __future__ import annotations

import io
import re

import pytest

from tokentide.producers.bulk import MemorySink
from tokentide.producers.progress import Progress
from tokentide.producers.replay.compiling import MappedRow, RowSettings
from tokentide.producers.replay.document import _TOP
from tokentide.producers.replay.functions import FUNCTIONS
from tokentide.producers.replay.load import known_mappings, load_mapping, parse_mapping
from tokentide.producers.replay.parsing import _TESTS, DURATION_UNIT_MS
from tokentide.producers.replay.run import map_rows
from tokentide.producers.routing import key_of
from tokentide.producers.ship import ShipOptions, ship
from tokentide.producers.simulate.catalog import MODELS, SERVICES
from tokentide.producers.simulate.incidents import _DEFAULTS, _OWN_KEYS
from tokentide.schemas.call import CallEvent


@pytest.fixture(scope="module")
def page(repository) -> str:
    return (repository / "docs" / "traffic.md").read_text(encoding="utf-8")


def table(page: str, first_cell: str) -> dict[str, str]:
    """Rows of the table whose head begins so: first cell → the rest."""
    part = page.split(f"| {first_cell} |", 1)[1].split("\n\n", 1)[0]
    rows = (line.split("|", 2) for line in part.splitlines()[2:])
    return {cell.strip().strip("`"): rest for _, cell, rest in rows}


def test_every_known_trace_is_described_with_its_start(page):
    described = table(page, "`--format`")
    assert set(described) == {mapping.name for mapping in known_mappings()}
    for name, notes in described.items():
        start = load_mapping(name).times.start
        assert start is None or start[:10] in notes


def test_every_function_is_described_with_its_arguments(page):
    described = table(page, "function")
    assert set(described) == set(FUNCTIONS)
    for name, rest in described.items():
        for argument in (*FUNCTIONS[name].columns, *FUNCTIONS[name].numbers):
            assert f"`{argument}`" in rest
        assert all(f"({default})" in rest for default in FUNCTIONS[name].numbers.values())


def test_every_key_unit_and_test_is_named(page):
    for name in (*_TOP, *DURATION_UNIT_MS, *_TESTS):
        assert f"`{name}`" in page


def test_every_incident_is_described_with_its_keys_and_defaults(page):
    described = table(page, "kind")
    assert set(described) == set(_DEFAULTS)
    for kind, rest in described.items():
        assert all(f"`{key}`" in rest for key in _OWN_KEYS[kind])
        assert all(f"({default:g})" in rest for default in _DEFAULTS[kind].values())


def test_the_company_has_the_size_that_is_told(page):
    assert (len(SERVICES), len(MODELS)) == (8, 10)
    assert "eight services, ten models" in page


def test_the_example_of_parts_is_shipped_without_a_word(page):
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    sink = MemorySink()
    progress = Progress("ship", stream=io.StringIO(), style="quiet")
    report = ship(io.BytesIO(text.encode()), sink, ShipOptions(), progress=progress)
    assert (report.sent, report.invalid, report.unknown_fields) == (3, 0, [])
    assert [key_of(line) for line in sink.lines] == [b"r-17"] * 3


def test_the_example_mapping_works(page):
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    content = (
        "started,seconds,app,path,model,prompt_tokens,completion_tokens,user,session,http\n"
        "2026-01-31 12:00:00.250,1.5,chat,/v1,fast,10,5,-,s1,200\n"
        "2026-01-31 12:00:01,0.1,chat,/health,,,,,,200\n"
        "2026-01-31 12:00:02,0.2,chat,/v1,other,10,,u1,s1,503\n"
    )
    rows = list(
        map_rows(io.BytesIO(content.encode()), parse_mapping(text, "my"), RowSettings(values={"team": "ml"}))
    )
    assert rows[1] is None
    first, last = (row.event for row in rows if isinstance(row, MappedRow))
    for event in (first, last):
        CallEvent.model_validate(event)
    assert {
        key: first[key] for key in ("timestamp", "request_model", "duration_ms", "user_id", "status")
    } == {
        "timestamp": "2026-01-31T11:00:01.750000Z",
        "request_model": "gpt-4.1-mini",
        "duration_ms": 1500.0,
        "user_id": "s1",
        "status": "ok",
    }
    assert (last["request_model"], last["status"], last["error"]) == ("other", "error", {"http_status": 503})
    assert first["labels"] == {"team": "ml"}
