"""Nothing lost, nothing counted twice: the real ingest stage over the real fold, under random faults."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.delivery_defects import DEFECTS, DEFECTS_OF_PARTS
from tests.support.delivery_model import (
    LONGER_SPANS,
    NO_FAULTS,
    SENT_MS,
    SHORT_SPANS,
    SOUND,
    WHOLE_SEGMENTS,
    Defect,
    Faults,
    Log,
    World,
    known,
    pause,
    rules,
    truth,
    without_versions,
)
from tests.support.delivery_spans import SpanReport, compare_spans
from tests.support.virtual_time import run_virtually
from tokentide.stream import partition as partition_module
from tokentide.stream import resume as resume_module
from tokentide.stream.decode.arrays import decimal_from_picodollars
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.enrich.outcome import add_status, add_window_start
from tokentide.stream.enrich.tables import counts, where_known
from tokentide.stream.fold.extent import costs
from tokentide.stream.partition import Enrich, OutOfStepError
from tokentide.stream.resume import Start

SEGMENT = 16
"""So small that a log of a hundred records has many segments."""
SPANS = (SHORT_SPANS, LONGER_SPANS, WHOLE_SEGMENTS)
"""Schedules take turns with them."""
BLOCK = 20
"""Schedules of one test."""
BLOCKS = range(max(1, int(os.environ.get("TOKENTIDE_DELIVERY_SCHEDULES", "20")) // BLOCK))
"""Where many schedules are worth their time, they are tests of their own, which several processes share."""


def seeds_of(block: int, *, first: int = 0) -> range:
    return range(first + block * BLOCK, first + (block + 1) * BLOCK)


def priced_by_input(table: pa.Table) -> pa.Table:
    """Enrichment in small: the real chain is tested elsewhere, and here it is run ten thousand times."""
    table = add_window_start(add_status(table))
    asked = (
        table["request_model"]
        if "request_model" in table.column_names
        else pa.nulls(table.num_rows, pa.string())
    )
    table = table.append_column("model", pc.coalesce(asked, pa.scalar("")))
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


def random_log(chance: random.Random, *, parts: float = 0.0) -> Log:
    """Records of one or two partitions: single and packed, repeated ids, refused items, gaps, late events, parts of calls."""
    partitions, times_ms = [], []
    for partition in range(chance.randint(1, 2)):
        records: dict[int, bytes] = {}
        times: dict[int, int] = {}
        offset = 0
        for _ in range(chance.randint(20, 90)):
            offset += 1 + (chance.randint(1, 20) if chance.random() < 0.05 else 0)
            events = [
                random_part(chance, partition) if chance.random() < parts else random_event(chance, partition)
                for _ in range(chance.choice([1, 1, 1, 2, 3]))
            ]
            # About ten seconds from one to the next; sometimes back, as records have it that senders date.
            times[offset - 1] = max(times.values(), default=SENT_MS) + chance.randint(-5_000, 25_000)
            records[offset - 1] = (
                packed(events) if len(events) > 1 or chance.random() < 0.2 else one(events[0])
            )
        partitions.append(records)
        times_ms.append(times)
    ends = [max(records) + 1 + chance.randint(0, 3) for records in partitions]
    return Log(partitions, ends, times_ms=times_ms)


def random_part(chance: random.Random, partition: int) -> Any:
    kind = chance.choice(["request", "request", "response", "response", "error", "evaluation"])
    event = random_event(chance, partition)
    if not isinstance(event, dict):
        return event
    known = chance.sample(sorted(event), chance.randint(0, len(event)))
    needed = ("event_id", "timestamp")
    return {
        **{name: value for name, value in event.items() if name in known or name in needed},
        "event_type": kind,
        "event_id": f"{partition}-{chance.randint(0, 300)}",
        "service": chance.choice("ab"),
        "request_id": f"r{chance.randint(0, 12)}",
        **({"quality": {"score": 0.5}} if kind == "evaluation" else {}),
    }


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


def faults_of(chance: random.Random, *, retention: bool = False) -> Faults:
    return Faults(
        kill=chance.choice([0.0, 0.001, 0.01]),
        give_up=chance.choice([0.0, 0.002, 0.01]),
        held_bytes=chance.choice([1 << 30, 4_000]),
        retention=retention,
        zombies=not retention or chance.random() < 0.5,
        provisional=chance.choice([0.0, 0.3, 1.0]),
    )


def after_a_schedule(
    seed: int, enrich: Enrich, *, retention: bool = False, defect: Defect = SOUND, parts: float = 0.0
) -> World:
    """The world after random faults and an end in peace."""
    chance = random.Random(seed)
    log = random_log(chance, parts=parts)
    limits = rules(spans=SPANS[seed % len(SPANS)])
    world = World(log, limits, enrich, chance, faults_of(chance, retention=retention), defect)
    world.run(steps=100)
    return world


def differences(world: World) -> list[str]:
    """What is not as the truth says, where retention took nothing."""
    found, expected = world.stores, truth(world.log, world.rules, world.enrich)
    same = {
        "event rows": known(found.events) == known(expected.events),
        "evaluations": found.evaluations == expected.evaluations,
        "windows": without_versions(found.in_force(found.windows)) == without_versions(expected.windows),
        "windows topic": without_versions(found.windows_topic) == without_versions(expected.windows),
        "ledger": found.ledger == expected.ledger,
        "letters": found.letters == expected.letters,
        "nothing durable is stored again": not world.stored_again,
    }
    return [name for name, is_same in same.items() if not is_same]


@pytest.mark.parametrize("block", BLOCKS)
def test_no_schedule_of_faults_changes_a_row_a_window_the_ledger_or_a_letter(
    enrich: Enrich, block: int
) -> None:
    wrong = {
        seed: found for seed in seeds_of(block) if (found := differences(after_a_schedule(seed, enrich)))
    }
    assert wrong == {}, "seeds with other results than the truth"


@pytest.mark.parametrize("block", BLOCKS)
def test_no_schedule_of_faults_changes_what_parts_are_joined_to(enrich: Enrich, block: int) -> None:
    worlds = {seed: after_a_schedule(seed, enrich, parts=0.6) for seed in seeds_of(block, first=20_000)}
    wrong = {seed: found for seed, world in worlds.items() if (found := differences(world))}
    assert wrong == {}, "seeds with other results than the truth"
    made_of = Counter(
        row.get("assembled_from") for world in worlds.values() for row in world.stores.events.values()
    )
    waited = sum(
        len(row["pending_offsets"]) for world in worlds.values() for row in world.stores.ledger.values()
    )
    assert {"request+response", "request+error", "request", "response", "error", None} == set(made_of)
    assert min(*made_of.values(), waited) > BLOCK, "the model is too tame"


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("parts", "most_unsure"), [(0.0, 0.05), (0.3, 0.3)], ids=["calls", "parts of calls"])
def test_what_retention_takes_is_told_as_lost_and_all_the_rest_is_exact(
    enrich: Enrich, parts: float, most_unsure: float, block: int
) -> None:
    reports = {
        seed: compare_spans(after_a_schedule(seed, enrich, retention=True, parts=parts))
        for seed in seeds_of(block, first=10_000)
    }
    wrong = {seed: report.differences for seed, report in reports.items() if report.differences}
    assert wrong == {}, "seeds with something else than the log and its holes tell"
    spans, unsure = (
        sum(report[place] for report in reports.values())
        for place in (SpanReport._fields.index("spans"), SpanReport._fields.index("unsure"))
    )
    assert sum(report.holes for report in reports.values()) >= BLOCK // 4, "the model is too tame"
    assert unsure <= spans * most_unsure, "too much is left out of the comparison"


@pytest.mark.long
@pytest.mark.parametrize("name", DEFECTS)
def test_the_model_finds_a_defect(enrich: Enrich, name: str) -> None:
    def is_found(seed: int) -> bool:
        try:
            return bool(differences(after_a_schedule(seed, enrich, defect=DEFECTS[name])))
        except OutOfStepError:
            return True

    found = islice((seed for seed in range(40) if is_found(seed)), 3)
    assert len(list(found)) == 3, "fewer than 3 of 40 schedules showed it: the model is too tame"


@pytest.mark.long
@pytest.mark.parametrize("name", DEFECTS_OF_PARTS)
def test_the_model_finds_a_defect_of_joining(enrich: Enrich, name: str) -> None:
    defect = DEFECTS_OF_PARTS[name]
    worlds = (after_a_schedule(seed, enrich, defect=defect, parts=0.6) for seed in range(40))
    found = islice((world for world in worlds if differences(world)), 3)
    assert len(list(found)) == 3, "fewer than 3 of 40 schedules showed it: the model is too tame"


def test_the_truth_is_what_counting_by_hand_gives(enrich: Enrich) -> None:
    def event(name: str, second: str, tokens: int, status: str) -> dict[str, Any]:
        timestamp = f"2026-01-31T12:{second}Z"
        return {"event_id": name, "timestamp": timestamp, "service": "a", "request_model": "m",
                "input_tokens": tokens, "status": status}  # fmt: skip

    first, next_minute = event("1", "00:10", 3, "ok"), event("2", "01:00", 5, "error")
    late = event("3", "00:59.999999", 7, "ok")
    log = Log([{0: one(first), 2: packed([next_minute, first, late])}], [3])
    stores = truth(log, rules(), enrich)
    measures = ("calls", "errors", "input_tokens", "late_calls", "cost_usd")
    assert [
        (key[5].minute, *(row[name] for name in measures)) for key, row in sorted(stores.windows.items())
    ] == [(0, 2, 0, 10, 1, Decimal("70e-12")), (1, 1, 1, 5, 0, Decimal("35e-12"))]
    columns = ("event_id", "service", "input_tokens", "status", "late", "cost_usd")
    assert {place: tuple(row[name] for name in columns) for place, row in stores.events.items()} == {
        (0, 0, 0): ("1", "a", 3, "ok", False, Decimal("21e-12")),
        (0, 2, 0): ("2", "a", 5, "error", False, Decimal("35e-12")),
        (0, 2, 2): ("3", "a", 7, "ok", True, Decimal("49e-12")),
    }
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
    before = World(Log(log.partitions, [end - 3 for end in log.ends]), rules(fold_id=1), enrich, chance)
    before.run(steps=0)
    after = World(
        log, rules(fold_id=2, series_cap=2), enrich, chance, stores=before.stores, committed=before.committed
    )
    open_segments = {partition: position // SEGMENT for partition, position in before.committed.items()}
    after.run(steps=5)
    stores = after.stores
    counted = Counter((key[1], key[2], key[4]) for key in stores.in_force(stores.windows))
    assert {fold for partition, segment, fold in counted if segment >= open_segments[partition]} == {2}
    assert {fold for partition, segment, fold in counted if segment < open_segments[partition]} == {1}
    calls = sum(row["calls"] for row in stores.in_force(stores.windows).values())
    assert calls == sum(row["events"] for row in stores.ledger.values())


def reread_ns(world: World) -> Iterator[int]:
    """What each worker had to read again before its first new record, without the last of these records."""
    for partition, start in world.starts:
        again = world.log.between(partition, start.read_from, max(start.read_from, start.resume_at))
        prices = costs(Decoder().decode(again.values), again.values, world.rules.spans)
        limited_from = next(
            (span.limited_from for span in start.known if span.first_offset == start.read_from), 0
        )
        yield int(prices[again.offsets >= limited_from][:-1].sum())


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("retention", [False, True])
def test_no_worker_reads_again_more_than_a_span_may_hold(
    enrich: Enrich, *, retention: bool, block: int
) -> None:
    worlds = [
        after_a_schedule(seed, enrich, retention=retention, parts=0.2)
        for seed in seeds_of(block, first=30_000)
        if SPANS[seed % len(SPANS)] is not WHOLE_SEGMENTS
    ]
    for world in worlds:
        assert max(reread_ns(world)) < world.rules.spans.work_ns
    spans = Counter((key[1], key[2]) for world in worlds for key in world.stores.ledger)
    assert max(spans.values()) > 2, "the model is too tame"


def after_an_upgrade(seed: int, enrich: Enrich, defect: Defect = SOUND) -> World:
    """Workers of an older version, which knew no spans, die at any point, and new ones go on; under faults before and after."""
    chance = random.Random(seed)
    log = random_log(chance, parts=seed % 2 * 0.4)
    older_faults = faults_of(chance)._replace(zombies=False)
    older = World(log, rules(fold_id=1, spans=WHOLE_SEGMENTS), enrich, chance, older_faults)
    older.run(steps=chance.randint(10, 60), finish=False)
    for row in older.stores.ledger.values():
        row["limited_from"] = None
    newer_rules = rules(fold_id=2, spans=SPANS[seed % 4 // 2])
    newer_faults = faults_of(chance)
    newer = World(
        log,
        newer_rules,
        enrich,
        chance,
        newer_faults,
        defect,
        older.stores,
        older.committed,
        older.generation,
    )
    newer.run(steps=60)
    return newer


def wrong_after_an_upgrade(world: World) -> list[str]:
    """Spans of either version are folds of just these; every row and letter is as it would be, but for what is late."""
    found, expected = world.stores, truth(world.log, world.rules, world.enrich)
    report = compare_spans(world)
    wrong = [*report.differences, *(["windows reach over their span"] if report.unsure else [])]
    # Where one span ends and the next begins is counted by hand: `compare_spans` leaves it to retention.
    told = sorted(
        (key[1], row["first_offset"], row["version"], row["lost"]) for key, row in found.ledger.items()
    )
    for before, after in pairwise(told):
        if before[0] == after[0] and (before[2] != after[1] or after[3]):
            wrong.append(f"{before} and {after} do not meet")
    calls = sum(row["calls"] for row in found.in_force(found.windows).values())
    if calls != sum(row["events"] for row in found.ledger.values()):
        wrong.append("windows and ledger")
    if found.letters != expected.letters:
        wrong.append("letters")
    return wrong


@pytest.mark.parametrize("block", BLOCKS)
def test_what_an_older_version_has_begun_is_gone_on_with_exactly(enrich: Enrich, block: int) -> None:
    worlds = {seed: after_an_upgrade(seed, enrich) for seed in seeds_of(block, first=40_000)}
    wrong = {seed: found for seed, world in worlds.items() if (found := wrong_after_an_upgrade(world))}
    assert wrong == {}, "seeds with other results than the truth"
    grown = [
        row
        for world in worlds.values()
        for row in world.stores.ledger.values()
        if row["fold"] == 2 and row["limited_from"] > row["first_offset"]
    ]
    assert len(grown) > BLOCK // 5, "the model is too tame"


def _known_forgotten(start: Start, committed: int | None) -> Start:
    del committed
    return start._replace(known=())


@pytest.mark.long
def test_the_model_finds_a_worker_that_limits_what_an_older_version_has_begun(enrich: Enrich) -> None:
    defect = Defect(plan=_known_forgotten)
    worlds = (after_an_upgrade(seed, enrich, defect) for seed in range(40_000, 40_060))
    found = islice((world for world in worlds if wrong_after_an_upgrade(world)), 3)
    assert len(list(found)) == 3, "fewer than 3 of 60 schedules showed it: the model is too tame"


@given(st.integers(0, 10_000), st.lists(st.integers(1, 30), min_size=1), st.sampled_from([0.0, 0.6]))
@settings(max_examples=20)
def test_any_batching_gives_the_same_partials(seed: int, sizes: list[int], parts: float) -> None:
    log = random_log(random.Random(seed), parts=parts)
    world = World(log, rules(spans=SPANS[seed % len(SPANS)]), priced_by_input, random.Random(seed))

    async def batched() -> None:
        world.store_is_open.set()
        process = await world.new_process(NO_FAULTS)
        for turn in range(50):
            process.fetch(sizes[turn % len(sizes)])
            process.take()
            if turn % 3 == 0:
                process.checkpoint()
            await pause(world.chance)
            await process.look_after()
        await process.finish()

    run_virtually(batched())
    assert differences(world) == []
