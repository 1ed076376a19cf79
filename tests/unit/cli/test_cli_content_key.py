from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tokentide.cli.content_key import content_key_in
from tokentide.cli.one_machine import supervisor_options
from tokentide.config import Settings

pytest.importorskip("chdb", reason="needs the extra [embedded]")


def test_a_folder_has_one_key_which_others_cannot_read(tmp_path: Path) -> None:
    key = content_key_in(tmp_path)
    assert len(key) == 64
    assert content_key_in(tmp_path) == key
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_that_was_never_written_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "content-hash-key").touch(mode=0o644)
    key = content_key_in(tmp_path)
    assert len(key) == 64
    assert content_key_in(tmp_path) == key
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_another_folder_has_another(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert content_key_in(tmp_path) != content_key_in(tmp_path / "b")


@pytest.mark.parametrize(
    ("content", "is_given"),
    [({}, True), ({"policy": "keep", "keep_services": ["s"]}, True), ({"policy": "none"}, False), ({"hash_key": "k" * 16}, False)],
    ids=["default", "keep", "none", "own key"],
)  # fmt: skip
def test_workers_get_it_where_hashes_are_wanted_and_no_key_is_set(
    tmp_path: Path, content: dict[str, object], *, is_given: bool
) -> None:
    settings = Settings.model_validate({"content": content})
    options = supervisor_options(settings, {}, data_dir=tmp_path, workers=2, kafka_port=0, clickhouse_port=0)
    first, second = options.environment_of_worker(1), options.environment_of_worker(2)
    assert first == second
    assert first == ({"TOKENTIDE_CONTENT_HASH_KEY": content_key_in(tmp_path)} if is_given else {})
