from __future__ import annotations

import pyarrow as pa
import pytest

from tokentide.stream.enrich import failures
from tokentide.stream.enrich.failures import scrub_error_messages


def test_a_message_that_cannot_be_redacted_is_dropped_and_its_neighbours_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(text: str) -> str:
        if "bad" in text:
            raise RecursionError
        return text

    monkeypatch.setattr(failures, "redact", failing)
    table = pa.table({"error_message": ["good", "bad", None]})
    assert scrub_error_messages(table, 100)["error_message"].to_pylist() == ["good", None, None]
