from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tokentide.producers.counts import Drop
from tokentide.producers.errors import SpoolError
from tokentide.producers.packing import Packed
from tokentide.producers.spool import Spool
from tokentide.producers.spool_segment import FRAME_BYTES, HEADER_BYTES

BIG = 1_000_000
OPEN_FILES = Path("/proc/self/fd")


class Drops(Counter[Drop]):
    def __call__(self, reason: Drop, events: int) -> None:
        self[reason] += events


@pytest.fixture
def drops() -> Drops:
    return Drops()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def new(folder: Path, drops: Drops, max_bytes: int = BIG) -> Spool:
    return Spool(folder, max_bytes=max_bytes, on_drop=drops)


def number_of(record: Packed) -> int:
    return int(record.value.split(b'"')[3])


def drained(spool: Spool) -> list[int]:
    numbers = []
    while (spooled := spool.next()) is not None:
        numbers.append(number_of(spooled.record))
        spool.settle(spooled)
    return numbers


def killed(spool: Spool) -> None:
    """What SIGKILL leaves: files as they are, locks released."""
    spool.abandon()


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*.{suffix}"))


def test_records_come_out_in_the_order_they_went_in_with_their_events(folder, drops, record):
    spool = new(folder, drops)
    for number in range(5):
        spool.append(record(number, events=number + 1))
    assert spool.events == 15
    first = spool.next()
    assert first is not None
    assert first.record == record(0, events=1)
    spool.give_back(first)
    assert drained(spool) == [0, 1, 2, 3, 4]
    assert spool.events == 0


def test_nothing_is_made_on_disk_before_it_is_needed(folder, drops):
    spool = new(folder, drops)
    assert not spool.has_more
    assert spool.next() is None
    assert spool.adopt() == 0
    spool.close()
    assert not folder.exists()


def test_what_is_settled_leaves_no_file_behind(folder, drops, record):
    spool = new(folder, drops)
    spool.append(record(1))
    assert drained(spool) == [1]
    spool.close()
    assert list(folder.iterdir()) == []


def test_a_record_given_back_comes_again_before_those_after_it(folder, drops, record):
    spool = new(folder, drops)
    for number in range(4):
        spool.append(record(number))
    taken = [spool.next() for _ in range(3)]
    spool.give_back(taken[2])
    spool.give_back(taken[0])
    spool.settle(taken[1])
    assert drained(spool) == [0, 2, 3]


def test_files_are_for_the_owner_only(folder, drops, record):
    spool = new(folder, drops)
    spool.append(record(1))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_successor_takes_over_what_a_killed_process_left(folder, drops, record):
    first = new(folder, drops)
    for number in range(3):
        first.append(record(number, events=2))
    killed(first)
    second = new(folder, drops)
    second.append(record(9))
    assert second.adopt() == 6
    assert second.recovered == 6
    assert drained(second) == [0, 1, 2, 9]
    second.close()
    assert list(folder.iterdir()) == []


def test_the_spool_of_a_living_process_is_not_taken_over(folder, drops, record):
    first, second = new(folder, drops), new(folder, drops)
    first.append(record(1))
    assert second.adopt() == 0
    first.close()
    assert second.adopt() == 1


def test_two_successors_do_not_take_over_the_same(folder, drops, record):
    first = new(folder, drops)
    first.append(record(1))
    killed(first)
    second, third = new(folder, drops), new(folder, drops)
    assert (second.adopt(), third.adopt()) == (1, 0)


def test_a_forked_copy_that_lets_go_does_not_release_its_parent_s_lock(folder, drops, record):
    parent = new(folder, drops)
    parent.append(record(1))
    child = os.fork()
    if child == 0:
        parent.abandon()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert new(folder, drops).adopt() == 0
    assert drained(parent) == [1]


def test_a_successor_does_not_send_again_what_was_acknowledged(folder, drops, record):
    first = new(folder, drops)
    for number in range(5):
        first.append(record(number))
    taken = [first.next() for _ in range(3)]
    first.settle(taken[0])
    first.settle(taken[1])
    killed(first)
    second = new(folder, drops)
    assert second.adopt() == 3
    assert drained(second) == [2, 3, 4]


def test_an_acknowledgement_out_of_order_is_not_taken_for_those_before_it(folder, drops, record):
    first = new(folder, drops)
    for number in range(4):
        first.append(record(number))
    taken = [first.next() for _ in range(3)]
    first.settle(taken[2])
    killed(first)
    second = new(folder, drops)
    second.adopt()
    assert drained(second) == [0, 1, 2, 3]


@pytest.mark.parametrize("cut", [1, 5, FRAME_BYTES, FRAME_BYTES + 3])
def test_a_torn_end_loses_only_the_record_that_was_being_written(folder, drops, record, cut):
    first = new(folder, drops)
    for number in range(3):
        first.append(record(number, size=20))
    killed(first)
    (segment,) = files(folder, "seg")
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - (FRAME_BYTES + 20) + cut)
    second = new(folder, drops)
    assert second.adopt() == 2
    assert drained(second) == [0, 1]
    assert drops == {}


@pytest.mark.parametrize("size", [0, 3, HEADER_BYTES])
def test_a_file_that_holds_no_record_yet_is_removed(folder, drops, record, size):
    first = new(folder, drops)
    first.append(record(1))
    killed(first)
    (segment,) = files(folder, "seg")
    os.truncate(segment, size)
    second = new(folder, drops)
    assert second.adopt() == 0
    assert drained(second) == []
    assert list(folder.iterdir()) == []


def test_a_damaged_record_is_counted_and_its_neighbours_are_sent(folder, drops, record):
    first = new(folder, drops)
    for number in range(3):
        first.append(record(number, size=20, events=4))
    killed(first)
    (segment,) = files(folder, "seg")
    with segment.open("r+b") as file:
        file.seek(HEADER_BYTES + (FRAME_BYTES + 20) + FRAME_BYTES + 2)
        file.write(b"#")
    second = new(folder, drops)
    second.adopt()
    assert drained(second) == [0, 2]
    assert drops == {Drop.SPOOL_DAMAGED: 4}


def test_events_behind_a_damaged_length_are_counted(folder, drops, record):
    spool = new(folder, drops)
    for number in range(3):
        spool.append(record(number, size=20, events=4))
    (segment,) = files(folder, "seg")
    with segment.open("r+b") as file:
        file.seek(HEADER_BYTES + (FRAME_BYTES + 20) + 4)
        file.write((10**6).to_bytes(4, "little"))
    assert drained(spool) == [0]
    assert drops == {Drop.SPOOL_DAMAGED: 8}
    assert spool.events == 0


def test_a_frame_is_checksum_length_events_value(folder, drops):
    spool = new(folder, drops)
    spool.append(Packed(b'{"a":1}', 1))
    (segment,) = files(folder, "seg")
    checked = (7).to_bytes(4, "little") + (1).to_bytes(4, "little") + b'{"a":1}'
    header = b"TTSPOOL1" + (16).to_bytes(8, "little")
    assert segment.read_bytes() == header + zlib.crc32(checked).to_bytes(4, "little") + checked


def test_a_file_of_a_newer_version_is_left_alone(folder, drops, record):
    first = new(folder, drops)
    first.append(record(1))
    killed(first)
    (segment,) = files(folder, "seg")
    data = segment.read_bytes()
    segment.write_bytes(b"TTSPOOL2" + data[8:])
    second = new(folder, drops)
    assert second.adopt() == 0
    second.close()
    assert segment.exists()


def test_over_the_bound_the_oldest_are_dropped_and_counted_exactly(folder, drops, record):
    spool = new(folder, drops, max_bytes=80_000)
    for number in range(300):
        spool.append(record(number, size=1000, events=3))
        assert sum(path.stat().st_size for path in files(folder, "seg")) <= 80_000
    left = drained(spool)
    assert left == list(range(300 - len(left), 300))
    assert len(left) > 50
    assert drops == {Drop.SPOOL_FULL: 3 * (300 - len(left))}


def test_what_dead_processes_left_is_the_first_to_go(folder, drops, record):
    first = new(folder, drops, max_bytes=80_000)
    for number in range(40):
        first.append(record(number, size=1000))
    killed(first)
    second = new(folder, drops, max_bytes=80_000)
    for number in range(100, 150):
        second.append(record(number, size=1000))
    left = drained(second)
    assert left[-50:] == list(range(100, 150))
    assert left[:-50] == list(range(40 - len(left[:-50]), 40))
    assert drops == {Drop.SPOOL_FULL: 40 - len(left[:-50])}


def test_records_on_their_way_are_not_dropped(folder, drops, record):
    spool = new(folder, drops, max_bytes=80_000)
    for number in range(40):
        spool.append(record(number, size=1000))
    on_its_way = spool.next()
    for number in range(40, 200):
        spool.append(record(number, size=1000))
    assert on_its_way is not None
    spool.give_back(on_its_way)
    left = drained(spool)
    assert left[0] == 0
    assert len(left) + drops[Drop.SPOOL_FULL] == 200


def test_a_spool_that_others_have_filled_refuses(folder, drops, record):
    other, spool = new(folder, drops, max_bytes=80_000), new(folder, drops, max_bytes=80_000)
    for number in range(70):
        other.append(record(number, size=1000))
    with pytest.raises(SpoolError, match="the spool is full"):
        spool.append(record(1))
    assert drops == {}


def test_a_full_disk_is_an_error_and_the_file_stays_readable(folder, drops, record, monkeypatch):
    spool = new(folder, drops)
    spool.append(record(0))
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[: len(data) // 2], at))
    with pytest.raises(SpoolError, match="No space left"):
        spool.append(record(1))
    monkeypatch.undo()
    spool.append(record(2))
    assert drained(spool) == [0, 2]


def test_a_full_disk_at_the_first_record_leaves_nothing(folder, drops, record, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    spool = new(folder, drops)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(SpoolError, match="No space left"):
        spool.append(record(1))
    monkeypatch.undo()
    assert files(folder, "seg") == []
    spool.append(record(2))
    assert drained(spool) == [2]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path, drops, record):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot make the spool's folder"):
        new(tmp_path / "file" / "spool", drops).append(record(1))


def open_below(folder: Path) -> list[Path]:
    """Files of the folder that this process has open; others come and go in other threads."""
    found = []
    for file in OPEN_FILES.iterdir():
        with suppress(OSError):
            found.append(file.readlink())
    return [path for path in found if folder in path.parents]


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="open files are listed on Linux only")
def test_a_large_backlog_does_not_keep_its_files_open(folder, drops, record):
    spool = new(folder, drops, max_bytes=BIG)
    for number in range(500):
        spool.append(record(number, size=1000))
    assert len(files(folder, "seg")) >= 4
    assert len(open_below(folder)) <= 2
    assert len(drained(spool)) == 500


def test_a_folder_that_somebody_has_cleaned_up_costs_what_was_in_it_and_no_more(folder, drops, record):
    spool = new(folder, drops, max_bytes=80_000)
    for number in range(30):
        spool.append(record(number, size=1000, events=2))
    shutil.rmtree(folder)
    for number in range(30, 50):
        spool.append(record(number, size=1000, events=2))
    left = drained(spool)
    assert left[-10:] == list(range(40, 50))
    assert 2 * len(left) + drops[Drop.SPOOL_DAMAGED] == 100
    assert not spool.has_more
    spool.close()
    assert new(folder, drops).adopt() == 0
