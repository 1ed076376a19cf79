"""Logs of children: their end can be quoted, their size is bounded."""

from __future__ import annotations

from tokentide.embedded.log_files import cap, tail


def test_the_tail_is_the_last_lines_without_colours(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"one\n\x1b[31mtwo\x1b[0m\nthree\n")
    assert tail(log, lines=2) == "two\nthree"


def test_the_tail_begins_where_this_run_began(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"old\nnew\n")
    assert tail(log, since=4) == "new"


def test_the_tail_of_a_file_that_was_capped_meanwhile_is_all_of_it(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"new\n")
    assert tail(log, since=1000) == "new"


def test_a_tail_is_short_even_if_lines_are_endless(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"\xff" * 1_000_000)
    assert len(tail(log)) <= 8192


def test_no_file_has_an_empty_tail(tmp_path):
    assert tail(tmp_path / "none.log") == ""


def test_a_log_that_is_too_large_moves_aside_and_its_writer_goes_on(tmp_path):
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 1001)
        assert cap(log, max_bytes=1000)
        writer.write(b"more")
    assert log.read_bytes() == b"more"
    assert (tmp_path / "a.log.1").read_bytes() == b"x" * 1001


def test_only_one_older_log_is_kept(tmp_path):
    log = tmp_path / "a.log"
    for text in ("first", "second"):
        log.write_text(text)
        assert cap(log, max_bytes=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1"]
    assert (tmp_path / "a.log.1").read_text() == "second"


def test_a_small_or_missing_log_is_left_alone(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("abc")
    assert not cap(log, max_bytes=3)
    assert not cap(tmp_path / "none.log")
    assert log.read_text() == "abc"
