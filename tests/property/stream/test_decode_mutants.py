"""Each rule of the Python decoder's fast path, broken once: the generator's records show every one of them.

A mutant is a piece of source and what is put in its place. One that can only make the fast path stricter, so that the reference
path decides as before, changes nothing and has no place here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.decode_traffic import Traffic, alone
from tests.support.decoding import assert_same
from tokentide.schemas.limits import MAX_ITEMS_PER_RECORD, MAX_RECORD_BYTES
from tokentide.stream.decode.batch import Decoded
from tokentide.stream.decode.decoder import decode_by_reference

FOLDER = "tokentide.stream.decode"
RELOADED = ("structs", "columnar", "rows", "decoder")
"""In the order of their imports."""

MUTANTS = {
    "structs": [
        ('Literal["call", ""]', "str"),
        ("Literal[SCHEMA_VERSION]", "int"),
        ('Literal[(*column.choices, "")]', "str"),
        ("min_length=column.minimum, ", ""),
        ("max_length=length", "max_length=None"),
        ("Meta(ge=column.minimum, le=column.limit)", "Meta(ge=column.minimum)"),
        ("Meta(ge=column.minimum, le=column.limit)", "Meta(le=column.limit)"),
        ("Meta(ge=0, le=MAX_COST_USD)", "Meta(le=MAX_COST_USD)"),
        ("Meta(max_length=MAX_LIST)", "Meta()"),
        ("Meta(min_length=1, max_length=MAX_LABEL_KEY)", "Meta(max_length=MAX_LABEL_KEY)"),
        ("Meta(min_length=1, max_length=MAX_LABEL_KEY)", "Meta(min_length=1)"),
        ("Meta(max_length=MAX_LABELS)", "Meta()"),
        ("Meta(max_length=int(column.limit or 0))", "Meta()"),
        ("str | list[dict[str, inner]]", "str | list[inner]"),
        ("list[dict[str, inner]]", "list[dict[str, Any]]"),
        ("forbid_unknown_fields=strict", "forbid_unknown_fields=False"),
        ("min_length=1, max_length=MAX_ITEMS_PER_RECORD", "min_length=1"),
        ("min_length=1, max_length=MAX_ITEMS_PER_RECORD", "max_length=MAX_ITEMS_PER_RECORD"),
        ("2 <= len(lines) <= MAX_ITEMS_PER_RECORD", "2 <= len(lines)"),
        ("2 <= len(lines) <=", "0 <= len(lines) <="),
        ("_LONG_NUMBER.search(value[::_SAMPLED])", "False"),
        ("len(value) > _LONGEST_NUMBER", "len(value) > 2 * _LONGEST_NUMBER"),
    ],
    "columnar": [
        ("if has_empty_text(column, text_lengths(column)):", "if False:"),
        ("doubtful |= counts != amounts", "pass"),
        ("doubtful |= number.known & ~np.isfinite(number.values)", "pass"),
        ("number.values + 0.0", "number.values"),
        ("amounts < 1_000", "amounts < 1e9"),
        ("< 0.25)", "< 0.51)"),
        ('(data[start] != ord("0")) & ', ""),
        ('usual &= (data[start + 13] == ord(":")) & (data[start + 16] == ord(":"))', "pass"),
        ('((data[end - 3] == ord(":"))', '((data[end - 3] > ord("/"))'),
        ("doubtful[row] = True", "pass"),
        ("total > whole.values", "total > whole.values + 1000"),
        ("broken &= ~all_true(exclusive)", "broken[:] = False"),
        ("each or None for each in values", "each for each in values"),
        ("if text is not None}", "}"),
        ("bool(each) for each in kept", "each is not None for each in kept"),
        ("texts.append(value or None)", "texts.append(value)"),
        ("are_messages.append(True)", "are_messages.append(None)"),
    ],
    "rows": [
        ("sorted(judged.refusals, key=lambda refusal: refusal[:2])", "judged.refusals"),
        ("order = np.lexsort((rows.item, rows.record))", "order = np.arange(len(rows.record))"),
        ("(record, outcome.item, outcome.unknown_fields)", "(record, outcome.item, 0)"),
    ],
    "decoder": [
        ("self._unknown[len(self._rows) - 1] = unknown", "pass"),
        (" and len(value) <= MAX_RECORD_BYTES", ""),
        ("(outcome for outcome in outcomes if outcome.item in wanted)", "outcomes"),
        ("placed = Rows(table.filter", "Rows(table.filter"),
        ("frozenset(items[records == record].tolist())", "frozenset(items.tolist())"),
        ("self._rows, self._record, self._item, self._unknown = [], [], [], {}", "self._rows, self._record, self._item = [], [], []"),
    ],
}  # fmt: skip

EVENT = b'{"event_id":"a","timestamp":1769860800,"service":"s"}'
RARE: list[bytes | None] = [
    EVENT[:-1] + b',"retrieval":{"top_score":1' + b"0" * 4_400 + b"e-4400}}",
    b"\n".join([EVENT] * (MAX_ITEMS_PER_RECORD + 1)),
    b"[" + b",".join([EVENT] * (MAX_ITEMS_PER_RECORD + 1)) + b"]",
    EVENT + b" " * MAX_RECORD_BYTES,
    b"[]",
    b"\n\n",
    b" \n\x0b",
    EVENT[:-1] + b',"turn":1.5}',
    EVENT[:-1] + b',"turn":2.0}',
]
"""Too long to be drawn all the time, or too seldom alone."""


@cache
def corpus() -> list[tuple[list[bytes | None], Decoded]]:
    drawn = [
        *([value] for value in (*RARE, *alone())),
        RARE * 2,
        *(Traffic(seed).batch() for seed in range(150)),
    ]
    return [(values, decode_by_reference(values)) for values in drawn]


@pytest.fixture
def afresh() -> Iterator[None]:
    """What is imported in the test is forgotten after it."""
    names = [f"{FOLDER}.{name}" for name in RELOADED]
    kept = {name: sys.modules[name] for name in names}
    package = sys.modules[FOLDER]
    yield
    sys.modules.update(kept)
    for name, module in kept.items():
        setattr(package, name.rpartition(".")[2], module)


def mutated(changed: str, old: str, new: str) -> ModuleType:
    """The decoder's module, with one piece of one module changed."""
    made = None
    for name in RELOADED:
        full = f"{FOLDER}.{name}"
        spec = importlib.util.find_spec(full)
        assert spec
        assert spec.origin
        source = Path(spec.origin).read_text(encoding="utf-8")
        if name == changed:
            assert source.count(old) == 1, f"{old!r} is there {source.count(old)} times"
            source = source.replace(old, new)
        made = importlib.util.module_from_spec(spec)
        sys.modules[full] = made
        exec(compile(source, spec.origin, "exec"), made.__dict__)
    assert made
    return made


def is_found(decoder: ModuleType) -> bool:
    for rows_at_once in (2, 2_000):
        decoder.ROWS_AT_ONCE = rows_at_once
        for values, expected in corpus():
            try:
                assert_same(decoder.Decoder().decode(values), expected)
            except Exception:  # noqa: BLE001 - a mutant may do anything
                return True
    return False


@pytest.mark.usefixtures("afresh")
def test_without_a_change_nothing_is_found() -> None:
    assert not is_found(mutated("", "", ""))


@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize(
    ("module", "old", "new"),
    [(module, *mutant) for module, mutants in MUTANTS.items() for mutant in mutants],
)
def test_a_broken_rule_is_found(module: str, old: str, new: str) -> None:
    assert is_found(mutated(module, old, new))
