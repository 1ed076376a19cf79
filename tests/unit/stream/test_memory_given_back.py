"""What a worker asks the system for, and gives back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import HANGING_S

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="resident memory is read from /proc"
)

FLOOD = """
import re
from tokentide.stream.memory import collect_seldom, give_back_freed_memory, keep_freed_memory

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

keep_freed_memory()
collect_seldom()
before = resident_mb()
flood = [[bytes(100_000)] for _ in range(2_000)]
lives_on = bytes(100_000)      # above all of it
for piece in flood:
    piece.append(flood)        # freed by no count of references
del flood, piece
full = resident_mb()
give_back_freed_memory()
print(before, full, resident_mb())
"""


def test_what_a_flood_took_goes_back_also_below_what_lives_on_and_in_cycles() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FLOOD], check=True, capture_output=True, text=True, timeout=HANGING_S
    )
    before, full, after = map(float, done.stdout.split())
    assert full > before + 150
    assert after < before + 40
