"""Without the public traces the tests on them say so; where they may not be skipped, they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import conftest


@pytest.mark.parametrize(
    ("required", "outcome"),
    [("", pytest.skip.Exception), ("1", pytest.fail.Exception)],
    ids=["skips", "fails"],
)
def test_the_environment_decides_between_skip_and_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("TOKENTIDE_PUBLIC_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv(conftest.REQUIRE_PUBLIC_DATA, required)
    with pytest.raises(outcome, match="no public traces at nowhere/"):
        conftest.find_public_data()


@pytest.mark.parametrize("required", ["", "1"])
def test_a_folder_that_is_there_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, required: str
) -> None:
    monkeypatch.setenv("TOKENTIDE_PUBLIC_DATA", str(tmp_path))
    monkeypatch.setenv(conftest.REQUIRE_PUBLIC_DATA, required)
    assert conftest.find_public_data() == tmp_path
