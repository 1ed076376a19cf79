"""The chain of enrichment, in reading order."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tokentide.schemas.limits import MAX_ERROR_MESSAGE
from tokentide.stream.enrich.content import ContentRules, reduce_content
from tokentide.stream.enrich.costs import add_costs
from tokentide.stream.enrich.dropping import Dropping
from tokentide.stream.enrich.failures import classify_errors, scrub_error_messages
from tokentide.stream.enrich.outcome import add_status, add_window_start
from tokentide.stream.enrich.redact import redact
from tokentide.stream.enrich.short_texts import SHORT_TEXTS
from tokentide.stream.enrich.tokens import add_token_counts
from tokentide.stream.pricing.book import PriceBook
from tokentide.stream.pricing.table import RateTable
from tokentide.stream.tokens import TokenMemory


class Enricher:
    """Turns decoded events into event rows.

    Its memories (prices by key, counts by text) only make it faster; the result depends on the table, the books and
    the rules alone. Not for use by several threads at once.
    """

    def __init__(self, books: Sequence[PriceBook], content: ContentRules, memory: TokenMemory) -> None:
        self._rates = RateTable(books)
        self._message = Dropping(redact)
        self._text = None if content.redact is None else Dropping(content.redact)
        self._content = content._replace(redact=self._text)
        self._memory = memory

    @property
    def dropped_texts(self) -> int:
        """Texts, labels and error messages that could not be redacted, and so were not kept."""
        kept = 0 if self._text is None else self._text.dropped
        return self._message.dropped + kept + SHORT_TEXTS.dropped

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the rows of `EVENT_ROWS` that can be known from the events, with the columns that occur."""
        table = self.for_windows(table)
        table = scrub_error_messages(table, MAX_ERROR_MESSAGE, self._message)
        table = SHORT_TEXTS.table(table)
        return reduce_content(table, self._content)

    def for_windows(self, table: pa.Table) -> pa.Table:
        """The same columns as far as windows are made of them; texts are as they were sent. For events whose rows are stored."""
        table = add_status(table)
        table = add_window_start(table)
        table = add_token_counts(table, self._memory)
        table = add_costs(table, self._rates)
        return classify_errors(table)
