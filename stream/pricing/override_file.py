"""Reading a file of price overrides, with the line of every mistake.

The YAML is not turned into Python values first: a price written `2.10` would become a binary fraction, a
date a `datetime`, and the line of a mistake would be lost. What is read is the tree of nodes, whose scalars
still have the text that was written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

import yaml

from tokentide.stream.pricing.overrides import TOKEN_KINDS, Override, OverrideBook, overrides_version

_MAX_USD: Final = 1_000_000
_MAX_TOKENS: Final = 10_000_000_000
_DECIMAL: Final = re.compile(r"\d{1,7}(?:\.\d{1,18})?")
_ENTRY_KEYS: Final = (
    "provider",
    "model",
    "name",
    "from",
    "until",
    "service_tier",
    "per_million_tokens",
    "above_input_tokens",
    "per_call",
    "infra",
)
_PART_OF: Final[Mapping[str, str]] = {"cache_write_1h": "cache_write", "reasoning": "output"}


class Problem(NamedTuple):
    """One mistake of the file."""

    line: int
    column: int
    where: str
    """Path to the value, such as `prices[3].per_million_tokens.input`."""
    text: str
    """What is wrong and what to write instead."""


class PriceFileError(ValueError):
    """The file of price overrides has mistakes; nothing of it is used.

    Attributes:
        source: the file's name.
        problems: every mistake, in the order of lines.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        lines = [f"{source}:{one.line}:{one.column}: {one.where}: {one.text}" for one in problems]
        super().__init__("\n".join(lines))
        self.source = source
        self.problems = tuple(problems)


def parse_overrides(text: str, *, source: str = "prices.yaml") -> OverrideBook:
    """The price book that `text` states; the form is in the docstring of `overrides.py`.

    Args:
        text: YAML.
        source: the file's name, for messages.

    Raises:
        PriceFileError: with every mistake and its line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise PriceFileError(source, [Problem(line, column, "YAML", str(error.problem))]) from error
    except yaml.YAMLError as error:
        raise PriceFileError(source, [Problem(1, 1, "YAML", str(error))]) from error
    reader = _Reader()
    entries = reader.entries(root) if root is not None else []
    if reader.problems:
        raise PriceFileError(source, sorted(reader.problems))
    return OverrideBook(entries, version=overrides_version(text))


@dataclass(slots=True)
class _Reader:
    """Reads nodes and collects what is wrong with them."""

    problems: list[Problem] = field(default_factory=list)

    def entries(self, root: yaml.Node) -> list[Override]:
        listed = self._mapping(root, "file", ("prices",)).get("prices")
        if listed is None:
            return []
        if not isinstance(listed, yaml.SequenceNode):
            self._wrong(listed, "prices", "must be a list of entries, each starting with `- model:`")
            return []
        read = (self._entry(node, f"prices[{index}]") for index, node in enumerate(listed.value))
        return [entry for entry in read if entry is not None]

    def _entry(self, node: yaml.Node, where: str) -> Override | None:
        before = len(self.problems)
        fields = self._mapping(node, where, _ENTRY_KEYS)
        texts = {
            key: self._text(fields[key], f"{where}.{key}")
            for key in ("provider", "model", "name")
            if key in fields
        }
        tier = (
            self._text(fields["service_tier"], f"{where}.service_tier") if "service_tier" in fields else None
        )
        if "model" not in fields and isinstance(node, yaml.MappingNode):
            self._wrong(node, where, "needs `model`: a name, with `*` for anything")
        first, end = (self._date(fields.get(key), f"{where}.{key}") for key in ("from", "until"))
        if first and end and end <= first:
            self._wrong(fields["until"], f"{where}.until", f"{end} is not after `from` ({first})")
        per_million, above, per_call = self._prices(node, fields, where)
        if len(self.problems) > before:
            return None
        return Override(
            model=texts["model"],
            provider=texts.get("provider"),
            name=texts.get("name"),
            first_day=first,
            end_day=end,
            service_tier=tier,
            per_million=per_million,
            above=above,
            per_call=per_call,
        )

    def _prices(
        self, node: yaml.Node, fields: Mapping[str, yaml.Node], where: str
    ) -> tuple[dict[str, Decimal] | None, dict[int, dict[str, Decimal]], Decimal | None]:
        per_call = self._usd(fields["per_call"], f"{where}.per_call") if "per_call" in fields else None
        if "infra" in fields and self._is_true(fields["infra"], f"{where}.infra"):
            for key in ("per_million_tokens", "above_input_tokens"):
                if key in fields:
                    self._wrong(
                        fields[key],
                        f"{where}.{key}",
                        "does not go with `infra: true`, where tokens cost nothing",
                    )
            return None, {}, per_call
        if "per_million_tokens" not in fields:
            if isinstance(node, yaml.MappingNode):
                self._wrong(
                    node, where, "needs `per_million_tokens`, or `infra: true` where tokens cost nothing"
                )
            return None, {}, per_call
        base_node = fields["per_million_tokens"]
        base = self._kinds(base_node, f"{where}.per_million_tokens")
        if "input" not in base and isinstance(base_node, yaml.MappingNode):
            self._wrong(
                base_node, f"{where}.per_million_tokens", 'needs `input`; write `input: "0"` if it is free'
            )
        for part, whole in _PART_OF.items():
            if part in base and whole not in base:
                self._wrong(base_node, f"{where}.per_million_tokens", f"`{part}` needs a price for `{whole}`")
        return base, dict(self._above(fields.get("above_input_tokens"), base, where)), per_call

    def _above(
        self, node: yaml.Node | None, base: Mapping[str, Decimal], where: str
    ) -> Iterator[tuple[int, dict[str, Decimal]]]:
        if node is None:
            return
        path = f"{where}.above_input_tokens"
        for key, value in self._pairs(node, path):
            if not re.fullmatch(r"\d{1,11}", key.value) or not 0 < int(key.value) <= _MAX_TOKENS:
                self._wrong(
                    key, path, f"{key.value!r} is no number of tokens; write a whole number such as 200000"
                )
                continue
            kinds = self._kinds(value, f"{path}.{key.value}")
            for kind in kinds.keys() - base.keys():
                self._wrong(value, f"{path}.{key.value}", f"`{kind}` has no price in `per_million_tokens`")
            yield int(key.value), kinds

    def _kinds(self, node: yaml.Node, where: str) -> dict[str, Decimal]:
        """Prices by kind; one that is written wrongly is 0 here and a problem there."""
        fields = self._mapping(node, where, TOKEN_KINDS)
        return {kind: self._usd(value, f"{where}.{kind}") or Decimal(0) for kind, value in fields.items()}

    def _mapping(self, node: yaml.Node, where: str, allowed: Sequence[str]) -> dict[str, yaml.Node]:
        fields: dict[str, yaml.Node] = {}
        for key, value in self._pairs(node, where, allowed):
            if key.value not in allowed:
                close = difflib.get_close_matches(key.value, allowed, n=1)
                hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(allowed)}"
                self._wrong(key, where, f"unknown key {key.value!r}; {hint}")
            else:
                fields[key.value] = value
        return fields

    def _pairs(
        self, node: yaml.Node, where: str, allowed: Sequence[str] = ()
    ) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            known = f" of {', '.join(allowed)}" if allowed else ""
            self._wrong(node, where, f"must be a mapping{known}")
            return
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(key, where, "a key is a plain word")
            elif key.value in seen:
                self._wrong(key, where, f"{key.value!r} stands here twice")
            else:
                seen.add(key.value)
                yield key, value

    def _text(self, node: yaml.Node, where: str) -> str:
        if isinstance(node, yaml.ScalarNode) and node.value.strip():
            return str(node.value).strip()
        self._wrong(node, where, "must be a text")
        return ""

    def _usd(self, node: yaml.Node, where: str) -> Decimal | None:
        written = node.value if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(written, str) or not _DECIMAL.fullmatch(written) or Decimal(written) > _MAX_USD:
            self._wrong(
                node,
                where,
                f'must be an amount of USD such as "2.50": at most {_MAX_USD:,}, at most 18 decimals',
            )
            return None
        return Decimal(written)

    def _date(self, node: yaml.Node | None, where: str) -> date | None:
        if node is None:
            return None
        try:
            return date.fromisoformat(str(node.value))
        except ValueError:
            self._wrong(node, where, "must be a day such as 2026-01-31 (UTC)")
            return None

    def _is_true(self, node: yaml.Node, where: str) -> bool:
        if isinstance(node, yaml.ScalarNode) and node.value in ("true", "false"):
            return bool(node.value == "true")
        self._wrong(node, where, "must be true or false")
        return False

    def _wrong(self, node: yaml.Node, where: str, text: str) -> None:
        self.problems.append(Problem(node.start_mark.line + 1, node.start_mark.column + 1, where, text))
