"""Every row of "What arrives wrong" through the whole path, read back from the dead-letter topic in full."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

from tests.integration.conftest import NewPipeline
from tests.support.waiting import until

NOW_MS = int(time.time() * 1000)


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": name, "timestamp": NOW_MS, "service": "s", "input_tokens": 1, **fields}


def line(name: str, **fields: Any) -> bytes:
    return json.dumps(event(name, **fields)).encode()


def without(field: str) -> bytes:
    made = event("no-field")
    del made[field]
    return json.dumps(made).encode()


WRONG: dict[str, tuple[bytes, str, str | None]] = {
    "not JSON": (b'{"event_id": ', "not_json", None),
    "not UTF-8": (b'{"event_id": "\xff"}', "not_utf8", None),
    "not UTF-8 in a good event": (line("utf").replace(b'"utf"', b'"u\x80tf"'), "not_utf8", None),
    "over the size limit": (line("big", feature="x" * 1_048_576), "too_large", None),
    "nested too deeply": (line("deep", extra=json.loads("[" * 100 + "]" * 100)), "too_large", None),
    "unknown event_type": (line("type", event_type="gossip"), "unknown_event_type", "event_type"),
    "unknown version": (line("version", schema_version=2), "unsupported_version", "schema_version"),
    "missing event_id": (without("event_id"), "missing_field", "event_id"),
    "missing timestamp": (without("timestamp"), "missing_field", "timestamp"),
    "missing service": (without("service"), "missing_field", "service"),
    "wrong type": (line("tokens", output_tokens="12"), "wrong_type", "output_tokens"),
    "no object": (b'"text"', "wrong_type", None),
    "cached above input": (line("cached", cache_read_input_tokens=2), "inconsistent", None),
    "negative": (line("negative", output_tokens=-1), "inconsistent", "output_tokens"),
    "not a number": (line("nan", duration_ms=float("nan")), "inconsistent", "duration_ms"),
    "infinity": (line("inf", duration_ms=float("inf")), "inconsistent", "duration_ms"),
    "unknown word": (line("word", status="perhaps"), "invalid_value", "status"),
    "in the future": (line("future", timestamp=NOW_MS + 7 * 86_400_000), "clock", "timestamp"),
    "before 2000": (line("past", timestamp=1), "clock", "timestamp"),
}


def test_each_is_a_dead_letter_and_its_neighbours_are_counted(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(TOKENTIDE_DEAD_LETTERS_MAX_BYTES="262144")
    running.start_workers(1)
    values: list[bytes | None] = [line("first")]
    for number, (value, _, _) in enumerate(WRONG.values()):
        values += [value, line(f"good-{number}")]
    values.append(None)  # no value at all
    packed = b"[" + b",\n".join([line("packed-1"), line("packed-2", turn=0), line("packed-3")]) + b"]"
    values.append(packed)
    values.append(line("first"))  # the same event again
    values.append(line("newer", brand_new_field={"any": "thing"}))
    sent = running.broker.produce(
        f"{running.prefix}events", values, partition=0, key=b"k", max_request_size=2_000_000
    )
    running.wait()

    good = len(WRONG) + 1 + 2 + 1
    assert int(running.one("SELECT count() AS n FROM events")["n"]) == good
    assert int(running.one("SELECT sum(calls) AS n FROM windows")["n"]) == good
    letters = {(letter["offset"], letter["index"]): letter for letter in running.letters()}
    assert len(letters) == len(WRONG) + 2

    place = 1
    for name, (value, reason, field) in WRONG.items():
        partition, offset = sent[place]
        (letter,) = [found for (at, _), found in letters.items() if at == offset]
        assert letter["reason"] == reason, name
        assert letter["field"] == field, name
        assert letter["topic"] == f"{running.prefix}events"
        assert (letter["partition"], letter["source"].startswith(f"{running.prefix}events:")) == (
            partition,
            True,
        )
        assert letter["step"] in {"decode", "validate"}
        assert letter["error"]
        assert letter["value_bytes"] == len(value)
        assert letter["value_sha256"] == hashlib.sha256(value).hexdigest()
        assert base64.b64decode(letter["value_base64"]) == value[:262_144]
        assert letter["truncated"] == (len(value) > 262_144)
        place += 2

    nothing = letters[sent[-4][1], -1]
    assert (nothing["reason"], nothing["value_base64"], nothing["value_bytes"]) == ("empty", None, None)
    in_pack = letters[sent[-3][1], 1]
    assert (in_pack["reason"], in_pack["field"]) == ("inconsistent", "turn")
    assert base64.b64decode(in_pack["value_base64"]) == line("packed-2", turn=0)

    ledger = running.one("SELECT sum(records) AS records, sum(items) AS items, sum(duplicates) AS duplicates, "
                         "sum(rejects) AS rejects, sum(unknown_fields) AS unknown FROM ledger")  # fmt: skip
    assert {key: int(value) for key, value in ledger.items()} == {
        "records": len(values), "items": len(values) + 2, "duplicates": 1, "rejects": len(WRONG) + 2, "unknown": 1,
    }  # fmt: skip
    running.run("audit")


def test_the_message_names_both_numbers_and_never_the_text(new_pipeline: NewPipeline) -> None:
    canary = "canary-b1f7-prompt"
    running = new_pipeline()
    running.start_workers(1)
    values: list[bytes | None] = [
        line("a", input=canary, cache_read_input_tokens=7, input_tokens=5),
        line("b", service=[canary]),
        line("c", status=canary),
        b'{"event_id": "' + canary.encode(),
    ]
    running.broker.produce(f"{running.prefix}events", values, partition=0)
    running.wait()
    letters = sorted(running.letters(), key=lambda letter: letter["offset"])
    assert "(7)" in letters[0]["error"]
    assert "(5)" in letters[0]["error"]
    assert all(canary not in letter["error"] for letter in letters)
    assert canary not in running.logs()


def test_only_hashes_of_refused_records_are_kept_where_the_policy_says_so(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(TOKENTIDE_DEAD_LETTERS_POLICY="hash")
    running.start_workers(1)
    running.broker.produce(f"{running.prefix}events", [b"secret"], partition=0, key=b"key")
    running.wait()
    (letter,) = running.letters()
    assert (letter["value_base64"], letter["key_base64"], letter["value_bytes"]) == (None, None, 6)
    assert letter["value_sha256"] == hashlib.sha256(b"secret").hexdigest()


def test_too_many_are_an_incident_that_outlives_its_worker(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(TOKENTIDE_DEAD_LETTERS_ALARM_RUN="10", TOKENTIDE_WORKER_STAGES="ingest,detect")
    running.start_workers(1)

    def send(values: list[bytes | None]) -> None:
        running.broker.produce(f"{running.prefix}events", values, partition=0, key=b"k")

    def states() -> dict[str, dict[str, Any]]:
        rows = running.query("SELECT rule, anomaly_id, state, revision, summary, series FROM anomalies")
        return {row["rule"]: row for row in rows}

    send([*(line(f"good-{n}") for n in range(20)), *(line(f"bad-{n}", status="perhaps") for n in range(30))])
    until(lambda: states().keys() == {"rejected_share", "rejected_run"}, what="incidents")
    opened = states()
    assert {row["state"] for row in opened.values()} == {"open"}
    assert "60.0% of 50 events" in opened["rejected_share"]["summary"]
    assert "30 invalid_value" in opened["rejected_share"]["summary"]
    assert opened["rejected_run"]["summary"].startswith("30 events in a row")
    assert opened["rejected_share"]["series"]["topic"] == f"{running.prefix}events"

    running.kill_worker()
    running.start_workers(1)
    send([line(f"more-{n}") for n in range(3_000)])
    until(lambda: {row["state"] for row in states().values()} == {"resolved"}, what="their ends")
    ended = states()
    assert {rule: row["anomaly_id"] for rule, row in ended.items()} == {
        rule: row["anomaly_id"] for rule, row in opened.items()
    }
    messages = [
        json.loads(record.value)
        for record in running.broker.read_topic(f"{running.prefix}anomalies")
        if record.value
    ]
    for rule, row in ended.items():
        told = [(message["state"], message["revision"]) for message in messages if message["rule"] == rule]
        assert told == [("open", 1), ("resolved", 2)]
        assert row["revision"] == 2
