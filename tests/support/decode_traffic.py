"""Records drawn at random, most of them nearly right: for tests of decoders that need many thousands of them.

Hypothesis finds the smallest example but draws a hundred times slower. Here all comes from one seeded `random.Random`: values,
order of keys, white space, keys given twice, forms of numbers, escapes, forms of records, damaged bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

from tokentide.schemas.columns import Column, call_columns

_COLUMNS: Final = call_columns()
_TEXTS: Final = (
    "",
    "a",
    "gpt-4o",
    "é" * 150,
    "x" * 200,
    "x" * 201,
    "😀" * 200,
    "é" * 201,
    "\u0000",
    "}{",
    "},\n{",
    "]",
    '"\\',
    "\u2028",
)
COUNTS: Final = (
    "0",
    "1",
    "12",
    "900",
    "10.0",
    "1e3",
    "1E2",
    "10.5",
    "-0",
    "-0.0",
    "-1",
    "10000000000",
    "10000000001",
    "1e10",
    "599",
    "600",
    "0.1e2",
    "9223372036854775808",
    "1e400",
)
FLOATS: Final = (
    "0", "1", "0.5", "12.25", "-0", "-0.0", "-0e5", "-1e-400", "1e-400", "100000000", "100000000.00000001", "1.0000000000000002",
    "0.30000000000000004", "123456.78901234567", "9007199254740993", "18446744073709551616", "1" + "0" * 309, "5e-324", "1.7976931348623157e308", "1e309", "-1.5",
)  # fmt: skip
MONEY: Final = (
    "0", "0.25", "0.000125", "1e-12", "5e-13", "4.9e-13", "1.5e-12", "2.5e-12", "12.345678901234", "999.999999999999", "1234.5678", "5000.1234567890123", "8765.4321098765432", "99999.12345678901",
    "779.1181477921494", "264.7750082449755", "0.1234567890125", "0.30000000000000004", "999999", "999999.000001", "1000000", "-0.0", "-1", "1e400",
)  # fmt: skip
MONEY_TEXTS: Final = (
    "0", "0.25", "0.1234567890125", "0.1234567890135", "1e-12", "5E-13", "12e+2", "0." + "1" * 300, "999999", "999999.000000000001", "00012.5",
    "1e999", "-0.25", "-0", "1_0", " 1", "1 ", "1\n", "٣", "", "NaN", ".5", "1.", "0x1",
)  # fmt: skip
TIMES: Final = (
    "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123Z", "2026-01-31T12:00:00.1Z", "2026-01-31 12:00:00.123456+02:00", "2026-01-31T12:00:00.1234567Z",
    "2026-01-31T12:00:00.123456789-23:59", "2026-01-31T12:00:00.9999999Z", "2026-01-31T12:00Z", "2026-01-31T12:00+02:00", "2026-01-31 12:00:00Z", "2026-01-31T120000.123Z", "20260131T12:00:00.123Z", "2026-01-31T12:00:00", "2026-01-31T12:00:00+0200",
    "2026-01-31T12:00:00+02", "2026-02-29T12:00:00Z", "2024-02-29T12:00:00Z", "2026-04-31T00:00:00Z", "2026-01-31t12:00:00z", "2026-01-31T24:00:00Z",
    "2026-01-31T12:60:00Z", "2026-01-31T12:00:60Z", "2026-01-31T12:00:00+24:00", "2026-01-31T12:00:00+01:60", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00,5Z",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-01:00",
    "2026-00-10T00:00:00Z", "2026-13-10T00:00:00Z", "2026-01-00T00:00:00Z", "+026-01-31T12:00:00Z", "2026/01/31T12:00:00Z", "2026-01-31T12.00.00Z",
    "", "now", "２０２６-01-31T12:00:00Z", "1969-12-31T23:59:59.5Z",
)  # fmt: skip
TIME_NUMBERS: Final = (
    "1769860800", "1769860800.25", "1769860800123", "1769860800123.4567", "99999999999", "99999999999.9999999", "100000000000", "99999999999999", "99999999999999.9",
    "1e14", "1e11", "0", "-0", "-0.0", "-1", "0.0000005", "0.0000015", "1e400", "1" + "0" * 400, "1e-7",
)  # fmt: skip
_ODD: Final = (
    "null",
    "true",
    "false",
    "5",
    "-0",
    "1.5",
    '""',
    '"x"',
    '"12"',
    "[]",
    "{}",
    "[null]",
    '["a",1]',
    '{"a":1}',
    "[[]]",
    "NaN",
    "Infinity",
    "-Infinity",
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    "1e5",
    "1" * 25,
    "01",
    "tru",
)
_NO_UTF8: Final = (b"\x80", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")
"""A continuation alone, no such byte, overlong, half a surrogate, beyond the last character, cut."""


def alone() -> list[bytes]:
    """One event for each form of a number, of money and of a time: in company, they may be read another way."""
    start, end = b'{"event_id":"a","service":"s",', b"}"
    times = [*map(json.dumps, TIMES), *TIME_NUMBERS]
    others = [
        *(f'"retrieval":{{"top_score":{text}}}' for text in (*FLOATS, "NaN", "Infinity")),
        *(f'"duration_ms":{text}' for text in FLOATS),
        *(f'"turn":{text}' for text in COUNTS),
        *(f'"cost_usd":{text}' for text in (*MONEY, *map(json.dumps, MONEY_TEXTS))),
        *(f'"labels":{{"a":"b","c":{text}}}' for text in ("null", '""', '"x"', "1")),
    ]
    contents = ('""', "[]", "[{}]", "[1]", "[null]", '["a"]', "[[]]", '[{"a":1e5}]', "{}", "5")
    others += [f'"{name}":{text}' for name in ("input", "output") for text in contents]
    fields = [
        *(f'"timestamp":{text}' for text in times),
        *(f'"timestamp":1769860800,{text}' for text in others),
    ]
    return [start + text.encode() + end for text in fields]


class Traffic:
    """Draws records; the same seed, the same records. `oddity` is the share of values that are of any kind."""

    def __init__(self, seed: int, oddity: float | None = None) -> None:
        self._chance = random.Random(seed)
        self._oddity = self._chance.choice((0.0, 0.001, 0.01, 0.1)) if oddity is None else oddity
        self._spaces = self._chance.choice(("", "", " ", " \n\t\r"))

    def batch(self, most: int = 12) -> list[bytes | None]:
        """Records of any form."""
        return [self.record() for _ in range(self._chance.randint(1, most))]

    def record(self) -> bytes | None:
        """One record; now and then with damaged bytes."""
        value = self._record()
        if value and self._happens(self._oddity):
            return self._damaged(value)
        return value

    def _record(self) -> bytes | None:
        form = self._chance.randrange(10)
        if form == 0:
            return self._pick(
                (None, b"", b"{}", b"[]", b"null", b"5", b"{", b" \n", b"[[]]", b"[{},\n]", b"{}{}", b"{} {}", b"{}\nnull\n{}", b"\xef\xbb\xbf{}", b"\x0c\n\x0b",
                 self.deep(62), self.deep(63), self.deep(64), self.deep(180), self.deep(300), self.deep(30_000))
            )  # fmt: skip
        if form < 4:
            return self._white() + self._event() + self._white()
        events = [self._event() for _ in range(self._chance.choice((1, 2, 3, 8)))]
        if self._happens(self._oddity):
            events.insert(self._chance.randrange(len(events) + 1), self._odd().encode())
        if form < 6:
            return b"[" + b",\n".join(events) + b"]"
        if form == 6:
            return b"[" + b", ".join(events) + b"]"
        if form == 7:
            return b"[\n" + b" ,\n".join(events) + b"\n]\n"
        if self._happens(0.2):
            odd = (
                b"",
                b" ",
                b"\r",
                b"\x1c",
                b"\xc2\x85",
                b"\xe3\x80\x80",
                b"null",
                b"not json",
                b"{",
                b'{"event_id":',
                b"[]",
                b"[{}]",
                b"{}\x0b",
                b"{}{}",
            )
            events.insert(self._chance.randrange(len(events) + 1), self._pick(odd))
        return self._pick((b"\n", b"\n", b"\r\n", b"\n\n", b" ")).join(events) + self._pick((b"", b"\n"))

    def deep(self, levels: int) -> bytes:
        """An event with a value of so many levels."""
        opening, closing = self._pick(((b"[", b"]"), (b'{"a":', b"}")))
        inner = opening * levels + b"1" + closing * levels
        name = self._pick((b"x", b"input", b"output", b"labels"))
        if name in {b"input", b"output"}:
            inner = b'[{"role":"user","content":' + inner + b"}]"
        return b'{"event_id":"d","timestamp":1769860800,"service":"s","' + name + b'":' + inner + b"}"

    def _damaged(self, value: bytes) -> bytes:
        place = self._chance.randrange(len(value) + 1)
        what = self._pick(
            (b"", b"x", b"\n", b"}", b"{", b"]", b",", b'"', b"\\", b"\x00", b"\x1f", *_NO_UTF8)
        )
        return value[:place] + what + value[place + self._chance.randrange(3) :]

    # --- events

    def _event(self) -> bytes:
        fields: list[tuple[str, str]] = [
            ("event_id", json.dumps(f"e{self._chance.randrange(1000)}")),
            ("timestamp", self._value(_COLUMNS[1]) if self._happens(0.7) else '"2026-01-31T12:00:00.250Z"'),
            ("service", self._pick(('"s"', '"checkout"'))),
        ]
        nested: dict[str, list[tuple[str, str]]] = {}
        for column in self._chance.sample(_COLUMNS, self._chance.choice((0, 2, 6, 20, len(_COLUMNS)))):
            written = self._odd() if self._happens(self._oddity) else self._value(column)
            if len(column.path) == 1:
                if not column.required:
                    fields.append((column.path[0], written))
            else:
                nested.setdefault(column.path[0], []).append((column.path[1], written))
        for name, inner in nested.items():
            fields.append((name, self._object(self._with_strange(inner))))
        if self._happens(0.1):
            fields.append(
                (
                    "event_type",
                    self._pick(
                        (
                            '"call"',
                            '""',
                            "null",
                            '"request"',
                            '"response"',
                            '"error"',
                            '"evaluation"',
                            '"other"',
                            "5",
                            '["call"]',
                        )
                    ),
                )
            )
        if self._happens(0.1):
            fields.append(("schema_version", self._pick(("1", "null", "1.0", "2", "true", '"1"'))))
        if self._happens(self._oddity):
            fields.pop(self._chance.randrange(3))
        return self._object(self._with_strange(fields)).encode()

    def _with_strange(self, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Now and then with unknown fields, in another order, or with a key given twice."""
        if self._happens(0.1):
            names = ("x", "new_field", "class_", "é", f"x{self._chance.randrange(500)}")
            count = self._chance.choice((1, 1, 3, 40))
            fields.extend((self._pick(names), self._odd_but_right()) for _ in range(count))
        if self._happens(0.2):
            self._chance.shuffle(fields)
        if fields and self._happens(0.1):
            name, written = self._pick(fields)
            other = self._pick((written, "null", self._odd_but_right()))
            fields.insert(self._chance.randrange(len(fields) + 1), (name, other))
        return fields

    def _object(self, fields: Sequence[tuple[str, str]]) -> str:
        inner = ",".join(
            f"{self._space()}{self._string(name)}{self._space()}:{self._space()}{written}{self._space()}"
            for name, written in fields
        )
        return "{" + inner + "}"

    def _value(self, column: Column) -> str:
        match column.kind:
            case "text" | "id":
                if self._happens(0.05):
                    return self._string(self._pick(_TEXTS))
                return self._string(
                    self._pick(
                        column.choices or ("a", "b", "openai", "ü", f"id-{self._chance.randrange(10**6)}")
                    )
                )
            case "count":
                return (
                    self._pick(COUNTS)
                    if self._happens(0.03 + self._oddity)
                    else str(self._chance.randrange(500))
                )
            case "ms" | "fraction" | "number":
                return (
                    self._pick(FLOATS) if self._happens(0.03 + self._oddity) else repr(self._chance.random())
                )
            case "money":
                return self._money()
            case "flag":
                return self._pick(("true", "false"))
            case "timestamp":
                return self._time()
            case "texts":
                return self._list(
                    [
                        self._string(self._pick(("stop", "", "length")))
                        for _ in range(self._chance.choice((0, 1, 2, 16, 17)))
                    ]
                )
            case "labels":
                return self._labels()
            case "content":
                return self._string("Say hello, 世界") if self._happens(0.5) else self._messages()

    def _money(self) -> str:
        draw = self._chance.random()
        if draw < 0.5:
            return repr(round(self._chance.random(), self._chance.randrange(3, 13)))
        if draw < 0.7:
            return repr(self._chance.random() * self._chance.choice((1e-6, 1.0, 1000.0)))
        if draw < 0.9:
            return json.dumps(f"{self._chance.random():.{self._chance.randrange(1, 16)}f}")
        return self._pick(MONEY) if self._happens(0.5) else json.dumps(self._pick(MONEY_TEXTS))

    def _time(self) -> str:
        if self._happens(0.03 + self._oddity):
            return self._pick(TIME_NUMBERS) if self._happens(0.5) else json.dumps(self._pick(TIMES))
        whole = f"20{self._chance.randrange(100):02d}-0{self._chance.randint(1, 9)}-{self._chance.randint(1, 28):02d}T0{self._chance.randrange(10)}:{self._chance.randrange(60):02d}:59"
        fraction = self._pick(
            ("", f".{self._chance.randrange(1000):03d}", f".{self._chance.randrange(10**6):06d}")
        )
        return self._pick(
            (
                f'"{whole}{fraction}Z"',
                f'"{whole}{fraction}+05:30"',
                str(self._chance.randrange(10**12)),
                repr(self._chance.random() * 2e9),
            )
        )

    def _labels(self) -> str:
        count = self._chance.choice((0, 1, 2, 16, 17))
        texts = (
            '"v"',
            '"w"',
            '""',
            "null",
            self._string("é"),
            json.dumps("x" * self._chance.choice((200, 201))),
        )
        keys = ("team", "plan", "k" * 64, "k" * 65, "", f"k{self._chance.randrange(10**6)}")
        return self._object(
            [
                (
                    self._pick(keys[:2])
                    if self._happens(0.1)
                    else f"k{n}"
                    if self._happens(0.9)
                    else self._pick(keys),
                    self._pick(texts[:2]) if self._happens(0.8) else self._pick(texts),
                )
                for n in range(count)
            ]
        )

    def _messages(self) -> str:
        content = (
            self._string("hé\n"),
            "1e5",
            "1.0",
            "-0.0",
            "-0",
            "null",
            "18446744073709551617",
            "0.1",
            '"\\u00e9\\/"',
            '[{"type":"text","text":"x"}]',
            '{"a":1,"a":2}',
            "1e22",
            "1e-7",
            "123456789012345680.0",
        )
        return self._list(
            [
                self._object(
                    [
                        ("role", '"user"'),
                        ("content", self._pick(content)),
                        *([("role", '"again"')] if self._happens(0.1) else []),
                    ]
                )
                for _ in range(self._chance.randrange(4))
            ]
        )

    def _odd(self) -> str:
        return self._pick(_ODD) if self._happens(0.3) else self._odd_but_right()

    def _odd_but_right(self) -> str:
        """JSON that a parser takes wherever a value may stand."""
        return self._pick(
            (
                "null",
                "true",
                "5",
                "-0",
                "1.5",
                "1e5",
                '""',
                '"x"',
                "[]",
                "{}",
                "[null]",
                '{"a":[1,{"b":null}]}',
                "1" * 25,
                self._string("é\t"),
            )
        )

    # --- writing

    def _list(self, items: Sequence[str]) -> str:
        return "[" + ",".join(f"{self._space()}{item}{self._space()}" for item in items) + "]"

    def _string(self, text: str) -> str:
        if self._happens(0.02):
            return (
                '"'
                + "".join(f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le")).cast("H"))
                + '"'
            )
        return json.dumps(text, ensure_ascii=self._happens(0.5))

    def _space(self) -> str:
        return self._pick(self._spaces) if self._spaces and self._happens(0.1) else ""

    def _white(self) -> bytes:
        return self._pick((b"", b"", b"", b" ", b"\n", b"\r\n", b"\t"))

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share

    def _pick(self, choices: Sequence[Any]) -> Any:
        return self._chance.choice(choices)
