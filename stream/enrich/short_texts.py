"""Short texts that a careless application puts secrets into: they are scrubbed as messages are, before they are stored.

Which columns: those whose words come from somewhere else (`error_type`, `quality_label`, `compliance_violations`), where an
exception, a user or a model's verdict is passed on, and values of `labels`, which hold anything. Numbers and addresses in labels
are what they are for, so only secrets go there; a label's key counts as the name of its value (`{"api_key": …}`).

Not those that say what the event belongs to (ids, models, service, tenant, versions, names of prompts): they are keys of
windows, of joins and of the application's own look-ups, and changing one would change what is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tokentide.stream.enrich.dropping import Dropping
from tokentide.stream.enrich.redact import MAY_BE_SECRET, redact, redact_secrets
from tokentide.stream.enrich.tables import where_known, with_column
from tokentide.stream.grouping import one_chunk
from tokentide.stream.texts import codes_of, pick

_TEXTS: Final = ("error_type", "quality_label")
_SECRET: Final = "[secret]"  # noqa: S105 - what stands in its place
"""In a list or among labels, for what could not be redacted too: a null has no place there."""


class ShortTexts:
    """Scrubs them, and counts those that it had to drop."""

    def __init__(self) -> None:
        self._redact = Dropping(redact)
        self._secrets = Dropping(redact_secrets)

    @property
    def dropped(self) -> int:
        """Texts so far that could not be redacted, and so were not kept."""
        return self._redact.dropped + self._secrets.dropped

    def text(self, text: str) -> str | None:
        """One text; None where redacting it failed."""
        return self._redact(text)

    def label(self, key: str, value: str) -> str:
        """The value of one label."""
        scrubbed = self._secrets(f"{key}={value}")
        prefix = f"{key}="
        return scrubbed[len(prefix) :] if scrubbed is not None and scrubbed.startswith(prefix) else _SECRET

    def labels(self, labels: Mapping[str, str]) -> list[tuple[str, str]]:
        """The labels of one event, by key."""
        return sorted((key, self.label(key, value)) for key, value in labels.items())

    def table(self, table: pa.Table) -> pa.Table:
        """A table of events with all such columns scrubbed."""
        for name in _TEXTS:
            if where_known(table, name).any():
                table = self._with_texts(table, name)
        if where_known(table, "compliance_violations").any():
            table = self._with_lists(table, "compliance_violations")
        if where_known(table, "labels").any():
            table = self._with_labels(table)
        return table

    def _with_texts(self, table: pa.Table, name: str) -> pa.Table:
        column = one_chunk(table, name)
        codes, texts = codes_of(column)
        scrubbed = [self._redact(text) for text in texts]
        if scrubbed == texts:
            return table
        if column.null_count:
            scrubbed[-1] = None
        return with_column(table, name, pick(scrubbed, codes))

    def _with_lists(self, table: pa.Table, name: str) -> pa.Table:
        column = one_chunk(table, name)
        distinct: list[str] = pc.unique(column.flatten()).to_pylist()
        scrubbed = {text: self._redact(text) or _SECRET for text in distinct}
        if all(text == kept for text, kept in scrubbed.items()):
            return table
        rows = [None if row is None else [scrubbed[text] for text in row] for row in column.to_pylist()]
        return with_column(table, name, pa.array(rows, column.type))

    def _with_labels(self, table: pa.Table) -> pa.Table:
        column = one_chunk(table, "labels")
        keys, items = column.keys, column.items
        pairs = pc.binary_join_element_wise(keys, items, "=")
        places = pc.indices_nonzero(pc.match_substring_regex(pairs, MAY_BE_SECRET)).to_pylist()
        if not places:
            return table
        values: list[str | None] = items.to_pylist()
        for place in places:
            values[place] = self.label(keys[place].as_py(), values[place] or "")
        maps = pa.MapArray.from_arrays(column.offsets, keys, pa.array(values, pa.string()))
        return with_column(table, "labels", pc.if_else(column.is_valid(), maps, None))


SHORT_TEXTS: Final = ShortTexts()
"""Of this process."""
