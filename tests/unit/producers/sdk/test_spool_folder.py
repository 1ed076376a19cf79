from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.waiting import HANGING_S
from tokentide import MemoryTransport, Producer, ProducerOptions
from tokentide.producers.errors import SpoolError
from tokentide.producers.packing import Packed
from tokentide.producers.spool import Spool
from tokentide.producers.spool_folder import left_elsewhere, spool_folder


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


def fill(folder: Path, *numbers: int) -> Spool:
    spool = Spool(folder, max_bytes=1_000_000, on_drop=lambda *_: None)
    for number in numbers:
        spool.append(Packed(b'{"input_tokens":%d}' % number, 1))
    return spool


def test_events_under_other_addresses_are_told_with_the_way_to_have_them_sent(home, caplog):
    del home
    wrong, other_topic = found(("wrong:1",)), found(("wrong:1",), topic="other")
    fill(wrong, 1, 2).close()
    fill(wrong, 3).close()
    fill(other_topic, 4).close()
    folder = found(("right:1",))
    assert left_elsewhere(folder) == (
        f"files with unsent events of topic llm.events for other addresses of Kafka wait in the spool: 2 in {wrong}; "
        f"if an address was only mended, move the files (*.seg) to {folder}, and they are sent; else delete them"
    )

    broker = MemoryTransport()

    def run() -> None:
        options = ProducerOptions(spool_folder=folder.parent)  # with this topic it is the folder found
        with Producer(service="s", topic=folder.name, transport=broker, options=options) as producer:
            producer.emit({"input_tokens": 0})
            assert producer.flush(HANGING_S)

    run()
    assert len(caplog.messages) == 1
    for path in wrong.glob("*.seg"):  # as it says
        path.rename(folder / path.name)
    run()
    assert len(caplog.messages) == 1
    assert sorted(event["input_tokens"] for event in broker.events) == [0, 0, 1, 2, 3]


def test_events_of_a_process_that_runs_and_empty_folders_are_none_of_them(home):
    del home
    spool = fill(found(("busy:1",)), 1)
    found(("empty:1",))
    (found(("foreign:1",)) / "notes.seg").write_text("")
    assert left_elsewhere(found(("right:1",))) is None
    spool.close()
    assert left_elsewhere(found(("right:1",))) is not None


def test_a_folder_that_was_set_has_no_neighbours(tmp_path):
    fill(tmp_path / "llm.events-0123456789ab", 1).close()
    assert left_elsewhere(spool_folder(tmp_path, topic="llm.events", bootstrap_servers=["a:1"])) is None


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
