"""The memory of counts is bounded and forgets what was used longest ago."""

from __future__ import annotations

import tracemalloc

import pytest

from tokentide.stream.tokens import TokenMemory
from tokentide.stream.tokens import memory as memory_module
from tokentide.stream.tokens.memory import memory_key


def test_the_least_recently_used_count_makes_room() -> None:
    memory = TokenMemory(max_entries=2)
    memory.remember(b"a", 1)
    memory.remember(b"b", 2)
    assert memory.recall(b"a") == 1
    memory.remember(b"c", 3)
    assert (memory.recall(b"a"), memory.recall(b"b"), memory.recall(b"c")) == (1, None, 3)
    assert (len(memory), memory.hits, memory.misses) == (2, 3, 1)


def test_a_count_of_zero_is_a_count() -> None:
    memory = TokenMemory()
    memory.remember(b"empty", 0)
    assert memory.recall(b"empty") == 0


def test_a_memory_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_entries is 0"):
        TokenMemory(max_entries=0)


def test_the_memory_stays_within_the_bytes_it_names() -> None:
    tracemalloc.start()
    try:
        memory = TokenMemory(max_entries=10_923)  # just after the table has grown: the worst case
        for number in range(22_000):
            memory.remember(memory_key(f"text {number}" * 40, "o200k_base"), 1000 + number)
        taken = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    assert len(memory) == 10_923
    # Not what other threads of the process have taken meanwhile.
    ours = [
        tracemalloc.Filter(inclusive=True, filename_pattern=name)
        for name in (memory_module.__file__, __file__)
    ]
    held = sum(place.size for place in taken.filter_traces(ours).statistics("filename"))
    assert memory.max_bytes / 2 < held <= memory.max_bytes


def test_the_text_itself_is_not_kept() -> None:
    secret = "a very private prompt" * 10
    key = memory_key(secret, "o200k_base")
    assert len(key) == 16
    assert key != memory_key(secret, "cl100k_base")
    assert key != memory_key(secret + " ", "o200k_base")
