"""The run warns before the broker's memory is full, and ends in order when it is."""

from __future__ import annotations

import os
import sys
from subprocess import PIPE

import pytest

from tests.support import children
from tokentide.embedded.broker_memory import BrokerMemory, default_limit_bytes
from tokentide.embedded.errors import BrokerMemoryError
from tokentide.embedded.memory import resident_bytes

LIMIT = 1_000_000_000


def test_each_share_of_the_limit_is_warned_of_once():
    memory = BrokerMemory(LIMIT)
    looks = [memory.look(held) for held in (100_000_000, 600_000_000, 700_000_000, 850_000_000, 900_000_000)]
    assert [look is not None for look in looks] == [False, True, False, True, False]
    assert "holds 600 of at most 1000 MB" in str(looks[1])


def test_a_jump_over_both_shares_is_one_warning():
    memory = BrokerMemory(LIMIT)
    assert memory.look(950_000_000) is not None
    assert memory.look(960_000_000) is None


def test_memory_that_was_freed_and_taken_again_is_not_warned_of_again():
    memory = BrokerMemory(LIMIT)
    memory.look(600_000_000)
    memory.look(100_000_000)
    assert memory.look(600_000_000) is None


def test_past_the_limit_the_run_ends_and_says_what_is_safe():
    with pytest.raises(
        BrokerMemoryError, match=r"holds 1001 MB, its limit is 1000 MB.*stored in ClickHouse is safe"
    ):
        BrokerMemory(LIMIT).look(1_001_000_000)


def test_the_default_limit_is_half_of_what_the_machine_has():
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < default_limit_bytes() <= physical // 2


TAKES_MEMORY = """
import mmap
print(flush=True)
input()
ballast = mmap.mmap(-1, 50_000_000)
ballast.write(b"x" * len(ballast))
print(flush=True)
input()
"""


def test_resident_memory_is_that_of_the_process():
    """Of one that does nothing else, and asks for its pages of the kernel, where no allocator has any left."""
    with children.start([sys.executable, "-c", TAKES_MEMORY], stdin=PIPE, stdout=PIPE, text=True) as other:
        other.stdout.readline()
        before = resident_bytes(other.pid)
        other.stdin.write("\n")
        other.stdin.flush()
        other.stdout.readline()
        after = resident_bytes(other.pid)
        other.kill()
    assert before is not None
    assert after is not None
    assert after - before > 45_000_000
    assert after < 500_000_000


def test_a_process_that_is_gone_has_no_memory():
    assert resident_bytes(2**22 + 1) is None
