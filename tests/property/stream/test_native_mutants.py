"""Each rule of the native decoder, broken once: the generator's records show every one of them.

As in `test_decode_mutants`, a mutant is a piece of source and what is put in its place; one that can only make the decoder
stricter changes nothing and has no place here. Each is compiled, so this takes minutes.
"""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.property.stream.test_decode_mutants import EVENT, corpus
from tests.support.native_mutant import DIFFERS
from tokentide.stream.decode.decoder import decode_by_reference

pytestmark = pytest.mark.long

NATIVE = Path(__file__).parents[3] / "native"
HANGS_AFTER_S = 300
"""Far more than a sound one takes; one that hangs is found too."""

MUTANTS: Mapping[str, Sequence[tuple[str, str]]] = {
    "batch": [
        ("text.len() > self.reader.contract.limits.record_bytes || ", ""),
        (" || std::str::from_utf8(text).is_err()", ""),
        ("item == 0 || item as usize > self.reader", "item as usize > self.reader"),
        (" || item as usize > self.reader.contract.limits.items", ""),
        (" || item as usize >= self.reader.contract.limits.items", ""),
        (" || !cursor.is_at_end()", ""),
        ("text[start] == b'{' && !text[start..end].contains(&b'\\n')", "text[start] == b'{'"),
        ("Some(0x0B | 0x0C | 0x1C..=0x1F | 0x80..) => return Err(Broken),", ""),
        ("Ok(true) if cursor.is_at_end()", "Ok(true)"),
        ("self.out.others.truncate(others);", ""),
        ("self.out.odd_items.truncate(odd_items);", ""),
        ("column.truncate(rows));", "_ = column);"),
        ("self.widen(record, 0, text.len());", ""),
        ("self.out.unknown_fields.push(unknown_fields);", "self.out.unknown_fields.push(0);"),
        ("self.columns[flag].flag(at, true);", "_ = flag;"),
    ],
    "others": [
        ("contract.columns[place].is_of_evaluations", "true"),
        ("Value::Int(value) if contract.columns[column].kind == Kind::Money => OtherValue::Money(value),", ""),
        ("&self.own[begin.own..]", "&self.own[..]"),
        ("&self.texts[begin.texts..]", "&self.texts[..]"),
        ("&self.pairs[begin.pairs..]", "&self.pairs[..]"),
        ("self.values.truncate(begin.values);", ""),
        ("self.list.truncate(count);", ""),
    ],
    "row": [
        ("is_choice.then_some(Value::Text(span))", "Some(Value::Text(span))"),
        ("is_within(text, spec.limit as usize).then_some(Value::Text(span))", "Some(Value::Text(span))"),
        ("text.is_empty() || spec.default", "spec.default"),
        ("(*value as f64) >= spec.minimum && ", ""),
        (" && (*value as f64) <= spec.limit", ""),
        ("value >= spec.minimum && value <= spec.limit", "value <= spec.limit"),
        ("value >= spec.minimum && value <= spec.limit", "value >= spec.minimum"),
        (" && value.is_finite()", ""),
        ("names.retain(|(place, _)| is_last(*place));", ""),
        (".filter(|(_, unknown)| !unknown.is_null)", ""),
        ("row.values[*column] = Value::Absent;", ""),
        ("row.unknown.retain(|unknown| unknown.node as usize != node);", ""),
        ('row.is_odd |= &cursor.text[start..cursor.at] != b"1";', ""),
        ('} else if !(name == b"call" || name.is_empty()) {', "} else if false {"),
        ("row.put(column, Value::Absent);", ""),
        ("row.pairs[first + place].1 = text", "()"),
        ("is_plain &= first == b'n';", ""),
        ("!key.is_empty() && ", ""),
        ("is_within(key, self.contract.limits.label_key)", "true"),
        ("is_plain &= is_within(row.bytes(*text, cursor.text), limit);", ""),
        (" || count > self.contract.limits.labels", ""),
        (" || count > self.contract.limits.list", ""),
        ("is_plain &= is_within(row.bytes(span, cursor.text), limit);", ""),
        ("if contract.required.iter().any(is_missing)", "if false"),
        ("contract.required_of_others.iter().any(is_missing)", "false"),
        ("return !contract.judgements.iter().all(is_missing);", "return true;"),
        ("known.sum::<i64>() <= whole", "known.sum::<i64>() <= whole + 1000"),
        ("self.is_odd |= depth + inner > reader.contract.limits.depth;", "_ = inner;"),
        ("self.is_odd = true;", ""),
        ("row.is_odd = true;\n        }\n        Ok(())\n    }\n\n    fn list", "}\n        Ok(())\n    }\n\n    fn list"),
    ],
    "scan": [
        ("const MOST_DIGITS: usize = 1_000;", "const MOST_DIGITS: usize = 1_000_000;"),
        ("char::from_u32(unit).ok_or(Broken)?", "char::from_u32(unit).unwrap_or('?')"),
        ("if whole == 0 || (whole > 1 && self.text[first] == b'0')", "if whole == 0"),
        ("if fraction == 0 {", "if false {"),
        ("if self.at == first {", "if false {"),
        ("b'\"' | b'\\\\' | 0..=0x1F)", "b'\"' | b'\\\\')"),
        ("            | (word.wrapping_sub(ONES * 0x20) & !word);", ";"),
        ("if is_negative { -value } else { value })\n    }\n\n    /// Go", "value)\n    }\n\n    /// Go"),
        ("exponent -= fraction as i32;", ""),
        ("_ if byte == closing => Ok(false),", "b']' | b'}' => Ok(false),"),
        ("b'f' => '\\u{c}'", "b'f' => '\\u{b}'"),
    ],
    "number": [
        ("number.mantissa < (1 << 53)", "number.mantissa < (1 << 63)"),
        ("mantissa / power }", "mantissa * power }"),
        ("0.0 - value", "-value"),
        ("    value + 0.0", "    value"),
        ("value.fract() == 0.0", "true"),
        ("if number.is_negative && number.mantissa != 0 {", "if false {"),
        ("number.digits <= 15", "number.digits <= 19"),
        ("rest > half || (rest == half && whole % 2 == 1)", "rest >= half"),
        ("rest > half || (rest == half && whole % 2 == 1)", "rest > half"),
        ("(rounded == limit && rest == 0)", "rounded == limit"),
        ("if whole == 0 {", "if false {"),
        ("if fraction == 0 {", "if false {"),
        ("if !rest.is_empty() {", "if false {"),
        ("return (value <= limit).then_some(value as i64);", "return Some(value as i64);"),
    ],
    "time": [
        (" || text[4] != b'-'", ""),
        (" || text[16] != b':'", ""),
        ("if !matches!(text[10], b'T' | b't' | b' ')", "if false"),
        ("day > days_of(year, month)", "day > 31"),
        ("(year % 100 != 0 || year % 400 == 0)", "true"),
        ("(1..=12).contains(&month)", "(0..=13).contains(&month)"),
        ("day == 0 || ", ""),
        ("(1000..=9998)", "(0..=9999)"),
        ("hour > 23", "hour > 24"),
        ("minute > 59", "minute > 60"),
        ("second > 59", "second > 60"),
        ("hours > 23", "hours > 24"),
        ("minutes > 59", "minutes > 99"),
        ("if count == 0 || count > 9", "if count > 9"),
        ("count.min(6)", "count.min(7)"),
        ("if *sign == b'-' { -ahead }", "if *sign == b'-' { ahead }"),
        ("if value < MILLISECONDS_FROM { 1_000_000 }", "if value <= MILLISECONDS_FROM { 1_000_000 }"),
        (".round_ties_even()", ".round()"),
        ("if number.is_negative || number.digits > 14", "if number.digits > 14"),
        ("!(0.0..1e14).contains(&value)", "!value.is_finite()"),
    ],
    "content": [
        ("writer.is_odd |= writer.cursor.peek() != b'{';", ""),
        ("if is_known || count == MOST_NAMES", "if count == MOST_NAMES"),
        ("self.is_odd |= depth > self.most;", ""),
        ('if &self.out[start..] == b"-0" {', "if false {"),
        ("(1e-4..1e16)", "(1e-4..1e17)"),
        ('printed.push_str(".0");', ""),
        ("while printed.len() <= decimals", "while printed.len() < decimals"),
        ("{:04x}", "{:04X}"),
        ("'\\u{c}' => out.extend_from_slice(b\"\\\\f\"),", ""),
        ("return Ok(Messages::None);", "writer.out.push(b']');\n        return Ok(Messages::Plain);"),
    ],
    "column": [
        ("self.nulls -= self.is_null[rows..]", "_ = self.is_null[rows..]"),
        ("                ends.truncate(rows);\n                items.truncate(end(ends));", "                ends.truncate(rows);\n                _ = &items;"),
        ("Data::Texts(texts) => texts.truncate(rows),", "Data::Texts(_) => {}"),
        ("self.texts.get(self.last) != text", "false"),
        ("!self.is_null[row])", "self.is_null[row])"),
        ("(row % 8)", "(row % 4)"),
    ],
    "spec": [
        ("count() <= limit", "count() <= limit + 1"),
    ],
}  # fmt: skip


def _event(more: bytes, start: bytes = EVENT) -> bytes:
    return start[:-1] + b"," + more + b"}"


PART = _event(b'"event_type":"request","request_id":"r"')
EVALUATION = _event(b'"event_type":"evaluation","request_id":"r"')
ESCAPED = b'"region":"\\t\\t%d","finish_reasons":["\\n%d"],"labels":{"\\r%d":"x\\n"}'
SPECIAL: Sequence[Sequence[bytes]] = [
    *([_event(b'"timestamp":"%s-02-29T12:00:00Z"' % year)] for year in (b"1900", b"2000", b"2023")),
    *(
        [_event(b'"timestamp":"%s"' % time)]
        for time in (b"2026/01-31T12:00:00Z", b"2026-01-31T12:00.00Z", b"2026-01-31x12:00:00Z")
    ),
    [_event(b'"cost_usd":"999999.0000000000001"')],
    [b"\n".join((EVENT, EVENT + b" 1"))],
    [_event(ESCAPED % (1, 1, 1)), b"[" + _event(ESCAPED % (2, 2, 2)) + b',{"a":}]', _event(ESCAPED % (3, 3, 3))],
    [b"[" + PART + b',{"a":}]'],
    [
        b"[" + b",".join(_event(ESCAPED % (n, n, n), PART) for n in (1, 20, 300)) + b"]",
        _event(ESCAPED % (4, 4, 4), PART),
        b"[" + _event(ESCAPED % (5, 5, 5), PART) + b',{"a":}]',
        _event(b'"cost_usd":"0.25","finish_reasons":["a","b"]', PART),
    ],
    [_event(b'"finish_reasons":["%s"]' % (b"x" * 201))],
    [EVALUATION],
    [_event(b'"quality":{"score":0.5},"input_tokens":3,"tenant":"t"', EVALUATION)],
    [_event(b'"input_tokens":1,"cache_read_input_tokens":2,"cache_reporting":"%s"' % how) for how in (b"exclusive", b"inclusive")],
    [_event(b'"error":{"x":1,"y":2},"error":{"x":1}')],
    *([_event(b'"tenant":"%s"' % text)] for text in (b"a\x01", b"a" * 7 + b"\x01" + b"a" * 20, b"\\f", b"\\udc00", b"\\ud800x")),
    [b'{"labels":{"a":"b"],' + EVENT[1:]],
    *([_event(b'"turn":%s' % number)] for number in (b"1.", b"1e", b"1e+", b"1.e1")),
    *([_event(b'"extra":%s' % number)] for number in (b"1.", b"1e", b"1e+", b"1.e1")),
    *(
        [_event(b'"input":[{"a":%s}]' % value)]
        for value in (b"0.00005", b"0.0001", b"1.5e16", b"1e15", b"12345678.9e9", b"-0.0", b"-0", b'"\\f\\u001f\\u000b\\b"', b"0.05", b"1.0")
    ),
]  # fmt: skip
"""Batches with what the generator draws too seldom, or not at all."""


class Workshop(NamedTuple):
    """A copy of the crate, and what builds of it are held against."""

    crate: Path
    records: Path


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("native")
    crate = folder / "crate"
    shutil.copytree(NATIVE, crate, ignore=shutil.ignore_patterns("target", "dist", "fuzz"))
    records = folder / "records"
    special = [(values, decode_by_reference(values)) for values in SPECIAL]
    records.write_bytes(pickle.dumps([*corpus(), *special]))
    return Workshop(crate, records)


def is_found(made: Workshop) -> bool:
    """Build what stands in the crate, and compare."""
    subprocess.run(
        ["cargo", "rustc", "--quiet", "--locked", "--lib", "--crate-type", "cdylib"],
        cwd=made.crate,
        check=True,
    )
    library = made.crate / "target" / "debug" / "libtokentide_native.so"
    command = [sys.executable, "-m", "tests.support.native_mutant", library, made.records]
    try:
        ended = subprocess.run(command, cwd=NATIVE.parent, timeout=HANGS_AFTER_S, check=False).returncode
    except subprocess.TimeoutExpired:
        return True
    assert ended in {0, DIFFERS} or ended < 0, "the comparison itself failed"
    return ended != 0


def test_without_a_change_nothing_is_found(workshop: Workshop) -> None:
    assert not is_found(workshop)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [(module, *mutant) for module, mutants in MUTANTS.items() for mutant in mutants],
)
def test_a_broken_rule_is_found(workshop: Workshop, module: str, old: str, new: str) -> None:
    file = workshop.crate / "src" / f"{module}.rs"
    sound = file.read_text(encoding="utf-8")
    assert sound.count(old) == 1, f"{old!r} is there {sound.count(old)} times"
    try:
        file.write_text(sound.replace(old, new), encoding="utf-8")
        assert is_found(workshop)
    finally:
        file.write_text(sound, encoding="utf-8")
