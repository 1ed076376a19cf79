"""Nothing lost, nothing counted twice: the real fold and checkpoint code under random faults."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.delivery_model import Log, Order, World, rules, truth
from tokentide.stream import partition as partition_module
from tokentide.stream import resume as resume_module
from tokentide.stream.decode.arrays import decimal_from_picodollars
from tokentide.stream.enrich.outcome import add_status, add_window_start
from tokentide.stream.enrich.tables import counts, where_known
from tokentide.stream.partition import Enrich

SEGMENT = 16
"""So small that a log of a hundred records has many segments."""
SCHEDULES = int(os.environ.get("TOKENTIDE_DELIVERY_SCHEDULES", "40"))


def priced_by_input(table: pa.Table) -> pa.Table:
    """Enrichment in small: the real chain is tested elsewhere, and here it is run ten thousand times."""
    table = add_window_start(add_status(table))
    table = table.append_column("model", pc.coalesce(table["request_model"], pa.scalar("")))
    cost = decimal_from_picodollars(
        counts(table, "input_tokens") * 7, known=where_known(table, "input_tokens")
    )
    return table.append_column("cost_usd", cost)


@pytest.fixture
def enrich() -> Enrich:
    return priced_by_input


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_module, "SEGMENT_OFFSETS", SEGMENT)
    monkeypatch.setattr(resume_module, "SEGMENT_OFFSETS", SEGMENT)


def random_log(chance: random.Random) -> Log:
    """Records of one or two partitions: single and packed, repeated ids, refused items, gaps, late events."""
    partitions = []
    for partition in range(chance.randint(1, 2)):
        records: dict[int, bytes] = {}
        offset = 0
        for _ in range(chance.randint(20, 90)):
            offset += 1 + (chance.randint(1, 20) if chance.random() < 0.05 else 0)
            events = [random_event(chance, partition) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
            records[offset - 1] = (
                packed(events) if len(events) > 1 or chance.random() < 0.2 else one(events[0])
            )
        partitions.append(records)
    return Log(partitions, [max(records) + 1 + chance.randint(0, 3) for records in partitions])


def random_event(chance: random.Random, partition: int) -> Any:
    kind = chance.random()
    if kind < 0.04:
        return "not an event"
    minute = chance.randint(0, 3)
    event = {
        "event_id": f"{partition}-{chance.randint(0, 60)}",
        "timestamp": f"2026-01-31T12:{minute:02d}:{chance.randint(0, 59):02d}Z",
        "service": chance.choice("abcde"),
        "provider": "openai",
        "request_model": chance.choice(["gpt-4o", "gpt-4o-mini", "nobody-knows"]),
        "input_tokens": chance.randint(0, 1000),
        "output_tokens": chance.randint(0, 1000),
        "duration_ms": chance.choice([0, 1, 12.5, 1e4]),
        "status": chance.choice(["ok", "ok", "error"]),
    }
    if kind < 0.08:
        event["cache_read_input_tokens"] = 10_000
    return event


def one(event: Any) -> bytes:
    return json.dumps(event).encode()


def packed(events: list[Any]) -> bytes:
    return b"[" + b",\n".join(json.dumps(event, separators=(",", ":")).encode() for event in events) + b"]"


def wrong_totals(
    seed: int, enrich: Enrich, *, order: Order = "write, then commit", refold: bool = True
) -> bool:
    """Whether a random schedule ends with anything else than the truth."""
    chance = random.Random(seed)
    log = random_log(chance)
    expected = truth(log, rules(), enrich)
    world = World(log, rules(), enrich, chance, order=order, refold=refold)
    world.run(steps=40, risk=chance.choice([0.0, 0.002, 0.02]))
    found = world.stores
    return (
        found.totals() != expected.totals()
        or found.events.keys() != expected.events.keys()
        or found.letters != expected.letters
        or {key: row["events"] for key, row in found.ledger.items()}
        != {key: row["events"] for key, row in expected.ledger.items()}
    )


def test_no_schedule_of_faults_changes_a_total_a_row_or_a_letter(enrich: Enrich) -> None:
    wrong = [seed for seed in range(SCHEDULES) if wrong_totals(seed, enrich)]
    assert wrong == [], f"seeds with other results than the truth: {wrong[:10]}"


@pytest.mark.parametrize(
    "broken", [{"order": "commit, then write"}, {"refold": False}], ids=["commit first", "no seek back"]
)
def test_the_model_finds_a_broken_protocol(enrich: Enrich, broken: dict[str, Any]) -> None:
    wrong = sum(wrong_totals(seed, enrich, **broken) for seed in range(24))
    assert wrong >= 5, f"only {wrong} of 24 schedules showed it: the model is too tame"


def test_the_truth_is_what_counting_by_hand_gives(enrich: Enrich) -> None:
    def event(name: str, second: str, tokens: int, status: str) -> dict[str, Any]:
        timestamp = f"2026-01-31T12:{second}Z"
        return {"event_id": name, "timestamp": timestamp, "service": "a", "request_model": "m",
                "input_tokens": tokens, "status": status}  # fmt: skip

    first, next_minute = event("1", "00:10", 3, "ok"), event("2", "01:00", 5, "error")
    late = event("3", "00:59.999999", 7, "ok")
    log = Log([{0: one(first), 2: packed([next_minute, first, late])}], [3])
    stores = truth(log, rules(), enrich)
    found = [
        (
            key[0].minute,
            total["calls"],
            total["errors"],
            total["input_tokens"],
            total["late_calls"],
            total["cost"],
        )
        for key, total in sorted(stores.totals().items())
    ]
    assert found == [(0, 2, 0, 10, 1, 70), (1, 1, 1, 5, 0, 35)]
    (ledger,) = stores.ledger.values()
    counts_of_items = {
        "records": 2,
        "gaps": 1,
        "items": 4,
        "events": 3,
        "duplicates": 1,
        "rejects": 0,
        "version": 3,
    }
    assert {name: ledger[name] for name in counts_of_items} == counts_of_items


def test_a_change_of_settings_in_the_middle_of_a_segment_leaves_only_the_new_fold(enrich: Enrich) -> None:
    chance = random.Random(7)
    log = random_log(chance)
    before = World(log, rules(fold_id=1), enrich, chance)
    fold = before.new_worker(0)
    batch = log.read(0, 0, log.ends[0] - 3)
    assert batch is not None
    fold.ingest(batch)
    before.save(0, fold, risk=0.0)

    after = World(
        log, rules(fold_id=2, series_cap=2), enrich, chance, stores=before.stores, committed=before.committed
    )
    after.run(steps=5, risk=0.0)
    open_segment = (before.committed[0]) // SEGMENT
    counted = Counter(
        (key[2], key[4])
        for key in after.stores.windows
        if key[1] == 0 and after.stores.ledger[key[:4]]["fold"] == key[4]
    )
    assert {fold_id for segment, fold_id in counted if segment >= open_segment} == {2}
    calls = sum(total["calls"] for total in after.stores.totals().values())
    assert calls == sum(row["events"] for row in after.stores.ledger.values())


@given(st.integers(0, 10_000), st.lists(st.integers(1, 30), min_size=1))
@settings(max_examples=20)
def test_any_batching_gives_the_same_partials(seed: int, sizes: list[int]) -> None:
    enrich = priced_by_input
    log = random_log(random.Random(seed))
    expected = truth(log, rules(), enrich)
    world = World(log, rules(), enrich, random.Random(seed))
    for partition in range(len(log.ends)):
        fold = world.new_worker(partition)
        turn = 0
        while (batch := log.read(partition, fold.position, sizes[turn % len(sizes)])) is not None:
            fold.ingest(batch)
            turn += 1
            if turn % 3 == 0:
                world.save(partition, fold, risk=0.0)
        world.save(partition, fold, risk=0.0)
    assert without_versions(world.stores.windows) == without_versions(expected.windows)
    assert world.stores.ledger == expected.ledger
    assert known(world.stores.events) == known(expected.events)


def without_versions(windows: dict[tuple[Any, ...], dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """A partial that no later event changed keeps the version of the checkpoint that took it."""
    return {key: {**row, "version": None} for key, row in windows.items()}


def known(events: dict[tuple[Any, ...], dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Whether an unknown value is a null or an absent column depends on the batch."""
    return {
        key: {name: value for name, value in row.items() if value is not None} for key, row in events.items()
    }
