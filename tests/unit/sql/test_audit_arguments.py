from __future__ import annotations

from typing import Any

import pytest

from tokentide.sql.audit import run_audit


class UnaskedClient:
    """Fails if anything is asked."""

    def query(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing may be asked")

    command = query


@pytest.mark.parametrize("max_rows", [0, -1])
def test_an_audit_that_may_keep_no_row_is_refused_because_it_would_find_no_difference(max_rows: int) -> None:
    with pytest.raises(ValueError, match=r"max_rows is -?\d; it must be 1 or more"):
        run_audit(UnaskedClient(), "tokentide", max_rows=max_rows)
