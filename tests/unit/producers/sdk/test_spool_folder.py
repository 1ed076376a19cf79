from __future__ import annotations

import os
from pathlib import Path

import pytest

from tokentide.producers.errors import SpoolError
from tokentide.producers.spool_folder import spool_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path


def found(servers: tuple[str, ...] = ("a:1",), topic: str = "llm.events") -> Path:
    return spool_folder(None, topic=topic, bootstrap_servers=servers)


def test_a_folder_that_was_set_is_taken_with_one_inside_per_topic(tmp_path):
    folder = spool_folder(tmp_path / "x", topic="team.events", bootstrap_servers=["a:1"])
    assert folder == tmp_path / "x" / "team.events"
    assert folder.is_dir()


def test_by_default_it_is_in_the_user_s_cache_and_for_the_user_only(home):
    folder = found()
    assert folder.parent == home / "cache" / "tokentide" / "spool"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_what_is_meant_for_one_cluster_or_topic_is_not_sent_to_another(home):
    del home
    assert found(("a:1", "b:2")) == found(("b:2", "a:1"))
    assert len({found(("a:1",)), found(("b:2",)), found(topic="other")}) == 3


def test_without_a_cache_folder_that_can_be_written_the_temporary_one_is_used(home):
    (home / "cache").write_text("a file in the way")
    assert found().parent == home / "tmp" / f"tokentide-spool-{os.getuid()}"


@pytest.mark.parametrize("trap", ["shared", "link"])
def test_a_folder_that_others_may_write_is_refused(home, trap):
    (home / "cache").write_text("a file in the way")
    prepared = home / "tmp" / f"tokentide-spool-{os.getuid()}"
    if trap == "shared":
        prepared.mkdir()
        prepared.chmod(0o777)
    else:
        (home / "elsewhere").mkdir(mode=0o700)
        prepared.symlink_to(home / "elsewhere")
    with pytest.raises(SpoolError):
        found()
