"""Made-up traffic: the same for the same seed, plausible, and wrong only where it is asked to be."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import pytest

from tokentide.producers.compact_json import encode_json
from tokentide.producers.simulate.arrivals import rhythm_at
from tokentide.producers.simulate.catalog import MODELS, SERVICES
from tokentide.producers.simulate.generate import SimulatedItem, simulate
from tokentide.producers.simulate.incidents import parse_incident
from tokentide.producers.simulate.options import SimulationOptions
from tokentide.producers.simulate.truth import Truth
from tokentide.producers.traffic_errors import OptionError
from tokentide.schemas.call import CallEvent
from tokentide.schemas.timestamps import parse_timestamp

START_US = 1_790_000_000_000_000
"""2026-09-21T14:13:20Z, a Monday."""
DAY_S = 86_400


@cache
def run(*incidents: str, **options) -> list[SimulatedItem]:
    """Ten minutes at ten calls a second; made once, not to be changed."""
    given = {
        "seed": 1,
        "start_us": START_US,
        "rate_per_second": 10,
        "duration_s": 600,
        "rhythm": 0,
        **options,
    }
    return list(simulate(SimulationOptions(**given, incidents=tuple(map(parse_incident, incidents)))))


def events(*incidents: str, **options) -> list[dict]:
    return [simulated.item for simulated in run(*incidents, **options)]


@pytest.fixture(scope="module")
def usual() -> list[SimulatedItem]:
    return run(duration_s=1800, rate_per_second=15)


def of(found: list[dict], service: str) -> list[dict]:
    return [event for event in found if event["service"] == service]


def digest(options: SimulationOptions, count: int) -> str:
    lines = (encode_json(simulated.item) for simulated in islice(simulate(options), count))
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


PINNED = SimulationOptions(seed=42, start_us=START_US, rate_per_second=50)
DIGEST = "5bf437e4358e521cc11e4dc7a715bde5a236627486bc9ddb01d98da65e7d0013"


def test_a_seed_means_the_same_events_for_ever():
    # A change of this digest is a change of what seeds mean: say so in the changelog.
    assert digest(PINNED, 2_000) == DIGEST


def test_the_events_do_not_depend_on_the_hash_seed_of_the_process():
    code = "from test_simulate_traffic import digest, PINNED\nprint(digest(PINNED, 300))\n"
    found = set()
    for hash_seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_another_seed_means_other_events():
    assert {e["event_id"] for e in events(seed=1)}.isdisjoint(e["event_id"] for e in events(seed=2))


def test_every_event_is_valid_and_every_id_is_its_own(usual):
    for simulated in usual:
        CallEvent.model_validate(simulated.item)
    ids = [simulated.item["event_id"] for simulated in usual]
    assert len(set(ids)) == len(ids)


def test_events_come_in_the_order_in_which_calls_finish(usual):
    assert all(a.finish_us <= b.finish_us for a, b in pairwise(usual))
    assert all(parse_timestamp(s.item["timestamp"]) == s.finish_us for s in usual)


def test_events_finish_within_the_time_asked_for(usual):
    assert usual[0].finish_us >= START_US
    assert usual[-1].finish_us < START_US + 1_800_000_000


def test_the_rate_is_the_one_asked_for_from_the_first_second_on(usual):
    assert len(usual) == pytest.approx(15 * 1800, rel=0.03)
    first = sum(simulated.finish_us < START_US + 10_000_000 for simulated in usual)
    assert first == pytest.approx(150, rel=0.3)


def test_stages_together_are_less_than_the_whole(usual):
    for simulated in usual:
        assert sum(simulated.item["stages"].values()) < simulated.item["duration_ms"]


def test_the_first_chunk_of_a_stream_comes_before_its_end(usual):
    streamed = [s.item for s in usual if "time_to_first_chunk_ms" in s.item]
    assert len(streamed) > 10_000
    assert all(event["stream"] is True for event in streamed)
    assert all(0 < event["time_to_first_chunk_ms"] < event["duration_ms"] for event in streamed)


def test_conversations_go_on_turn_by_turn_and_their_prompts_grow(usual):
    turns: dict[str, list[dict]] = {}
    for simulated in usual:
        if "conversation_id" in simulated.item and simulated.item["service"] == "support-chat":
            turns.setdefault(simulated.item["conversation_id"], []).append(simulated.item)
    long = [found for found in turns.values() if len(found) >= 5]
    assert len(long) > 50
    for found in long:
        numbers = [event["turn"] for event in found]
        assert numbers == list(range(numbers[0], numbers[0] + len(found)))
        assert len({(event["tenant"], event["user_id"], event.get("variant")) for event in found}) == 1
        tokens = [event["input_tokens"] for event in found if "input_tokens" in event]
        assert tokens == sorted(tokens)


def test_only_later_turns_tell_whether_they_found_their_context(usual):
    for simulated in usual:
        assert ("context" in simulated.item) == (simulated.item.get("turn", 1) > 1)
    hits = [s.item["context"]["hit"] for s in usual if "context" in s.item]
    assert statistics.mean(hits) == pytest.approx(0.94, abs=0.02)


def test_prompt_caches_hit_and_providers_that_charge_for_writing_say_how_much(usual):
    found = [s.item for s in usual if s.item.get("input_tokens")]
    chat, agent = of(found, "support-chat"), of(found, "code-agent")
    for part in (chat, agent):
        share = sum(e["cache_read_input_tokens"] for e in part) / sum(e["input_tokens"] for e in part)
        assert 0.6 < share < 0.99
    assert all("cache_write_input_tokens" not in event for event in chat if event["provider"] == "openai")
    assert all("cache_write_input_tokens" in event for event in agent)


def test_errors_are_rare_and_of_many_kinds_and_some_calls_succeed_on_retry_or_elsewhere(usual):
    found = [simulated.item for simulated in usual]
    errors = [event for event in found if event["status"] == "error"]
    assert 0.002 < len(errors) / len(found) < 0.02
    assert len({event["error"]["type"] for event in errors}) >= 5
    assert sum(event["attempts"] > 1 and event["status"] == "ok" for event in found) > 100
    fallen = [event for event in found if "fallback_from" in event]
    assert fallen
    assert all(event["fallback_from"] != event["request_model"] for event in fallen)
    assert any(event["status"] == "cancelled" for event in found)


def test_a_failed_model_call_reports_no_usage_instead_of_zero(usual):
    failed = [
        s.item for s in usual if s.item["status"] == "error" and s.item["error"]["stage"] == "model_call"
    ]
    assert failed
    assert all("input_tokens" not in event and "output_tokens" not in event for event in failed)


def test_lengths_and_times_have_heavy_tails(usual):
    for field in ("input_tokens", "duration_ms"):
        values = sorted(s.item[field] for s in usual if s.item.get(field) and s.item["service"] == "reports")
        assert values[int(len(values) * 0.99)] > 2.5 * statistics.median(values)


def test_every_service_and_part_of_the_contract_takes_part(usual):
    found = [simulated.item for simulated in usual]
    assert {event["service"] for event in found} == {service.name for service in SERVICES}
    assert {event["response_model"] for event in found if "response_model" in event} >= set(MODELS)
    fields = {field for event in found for field in event}
    assert fields >= {
        "retrieval",
        "response_cache",
        "compliance",
        "quality",
        "function",
        "cold_start",
        "billed_ms",
        "infra_cost_usd",
        "queue_length",
        "concurrency",
        "gpu_utilization",
        "service_tier",
        "variant",
        "input",
        "reasoning_output_tokens",
        "cost_usd",
        "test",
    }


def test_moderation_reports_no_usage_but_text_that_can_be_counted(usual):
    found = [event for event in of([s.item for s in usual], "moderation") if event["status"] == "ok"]
    assert found
    assert all("input_tokens" not in event and event["input"] and event["output"] for event in found)


def test_an_answer_from_the_response_cache_cost_no_tokens(usual):
    cached = [s.item for s in usual if "response_cache" in s.item]
    assert {event["response_cache"] for event in cached} == {"exact", "semantic"}
    assert all(event["input_tokens"] == 0 and "model_ms" not in event["stages"] for event in cached)


def test_models_are_ones_that_the_price_book_knows():
    prices = pytest.importorskip("genai_prices")
    for model in MODELS.values():
        if model.provider != "self_hosted":
            prices.calc_price(prices.Usage(input_tokens=1), model_ref=model.name, provider_id=model.provider)


def test_the_rhythm_has_its_mean_over_the_week_and_its_peak_in_the_afternoon():
    monday = START_US / 1e6 - START_US / 1e6 % DAY_S
    week = [rhythm_at(monday + minute * 60, 0.5) for minute in range(7 * 24 * 60)]
    assert statistics.mean(week) == pytest.approx(1, abs=1e-6)
    day = week[: 24 * 60]
    assert day.index(max(day)) == 14 * 60
    assert max(day) / min(day) == pytest.approx(3)
    assert week[5 * 1440 + 600] == pytest.approx(0.65 * week[600])


def test_traffic_follows_the_rhythm():
    found = run(duration_s=DAY_S, rate_per_second=0.3, rhythm=0.8, services=("search",))
    hours = Counter(simulated.finish_us // 3_600_000_000 % 24 for simulated in found)
    assert hours[14] > 4 * hours[2]


def test_only_the_services_asked_for_take_part_with_the_whole_rate():
    found = events(services=("search", "checkout"))
    assert {event["service"] for event in found} == {"search", "checkout"}
    assert len(found) == pytest.approx(10 * 600, rel=0.06)


INCIDENTS = (
    "error_burst:service=checkout,start=200,duration=200,rate=0.5",
    "cost_spike:service=checkout,start=200,duration=200,factor=4",
    "cost_spike:service=checkout,start=200,duration=200,by=prompt",
    "context_hit_drop:service=checkout,start=200,duration=200",
    "latency:service=checkout,start=200,duration=200",
    "silence:service=checkout,start=200,duration=200",
    "reject_burst:service=checkout,start=200,duration=200",
)


@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_incident_changes_the_calls_it_hits_and_no_others(incident):
    def others(found: list[SimulatedItem]) -> list[SimulatedItem]:
        return [
            s for s in found if isinstance(s.item, dict) and s.item.get("service") not in {"checkout", None}
        ]

    def before(found: list[SimulatedItem]) -> list[SimulatedItem]:
        return [s for s in found if s.finish_us < START_US + 200_000_000]

    without, with_it = run(), run(incident)
    assert others(with_it) == others(without)
    assert before(with_it) == before(without)


def during(found: list[dict], service: str = "checkout") -> list[dict]:
    window = (START_US + 210_000_000, START_US + 400_000_000)
    return [e for e in of(found, service) if window[0] <= parse_timestamp(e["timestamp"]) < window[1]]


def test_an_error_burst_fails_the_share_asked_for_with_the_class_asked_for():
    found = during(events("error_burst:service=checkout,start=200,duration=200,rate=0.5,class=rate_limit"))
    failed = [event for event in found if event["status"] == "error"]
    assert len(failed) / len(found) == pytest.approx(0.5, abs=0.1)
    assert {event["error"].get("http_status") for event in failed} >= {429}


@pytest.mark.parametrize(
    ("target", "field", "value"),
    [
        ("tenant=acme", "tenant", "acme"),
        ("prompt=fraud_review", "prompt_name", "fraud_review"),
        ("provider=google", "provider", "google"),
        ("model=gpt-4.1", "request_model", "gpt-4.1"),
    ],
)
def test_an_incident_can_aim_at_a_tenant_a_template_a_provider_or_a_model(target, field, value):
    found = events(f"error_burst:{target},start=-60,duration=700,rate=1,class=auth")
    hit = [event for event in found if event.get("error", {}).get("http_status") == 401]
    assert {event[field] for event in hit} == {value}
    assert all(event in hit for event in found if event.get(field) == value and "fallback_from" not in event)


@pytest.mark.parametrize(
    ("spec", "field"), [("by=calls", None), ("by=prompt", "input_tokens"), ("by=answer", "output_tokens")]
)
def test_a_cost_spike_multiplies_calls_prompts_or_answers(spec, field):
    base = during(events())
    spiked = during(events(f"cost_spike:service=checkout,start=200,duration=200,factor=4,{spec}"))
    if field is None:
        assert len(spiked) / len(base) == pytest.approx(4, rel=0.15)
    else:
        ratio = statistics.mean(e.get(field, 0) for e in spiked) / statistics.mean(
            e.get(field, 0) for e in base
        )
        assert ratio == pytest.approx(4, rel=0.1)
        assert len(spiked) == pytest.approx(len(base), rel=0.05)


def test_a_cost_spike_can_come_from_a_dearer_model_or_a_lost_cache():
    dearer = during(events("cost_spike:service=checkout,start=190,duration=210,by=model,to=gpt-4.1"))
    assert {event["request_model"] for event in dearer} <= {"gpt-4.1", "gpt-4.1-nano"}
    lost = during(events("cost_spike:service=support-chat,start=120,duration=280,by=cache"), "support-chat")
    assert sum(event.get("cache_read_input_tokens", 0) for event in lost) == 0


def test_more_calls_can_come_from_one_tenant_alone():
    base, spiked = events(), events("cost_spike:tenant=wonka,start=200,duration=200,factor=20")
    count = Counter(e["tenant"] for e in spiked)
    usual_count = Counter(e["tenant"] for e in base)
    assert count["wonka"] > 4 * usual_count["wonka"]
    assert {t: n for t, n in count.items() if t != "wonka"} == {
        t: n for t, n in usual_count.items() if t != "wonka"
    }


def test_a_drop_of_context_hits_leaves_the_share_asked_for():
    found = during(
        events("context_hit_drop:service=support-chat,start=200,duration=200,rate=0.2"), "support-chat"
    )
    hits = [event["context"]["hit"] for event in found if "context" in event]
    assert statistics.mean(hits) == pytest.approx(0.2, abs=0.08)


def test_latency_grows_in_the_stage_asked_for():
    base = during(events())
    slow = during(events("latency:service=checkout,start=190,duration=230,stage=queue,factor=100"))
    stage = "queue_ms"
    assert statistics.median(e["stages"][stage] for e in slow) > 30 * statistics.median(
        e["stages"][stage] for e in base
    )
    assert statistics.median(e["stages"]["network_ms"] for e in slow) == pytest.approx(
        statistics.median(e["stages"]["network_ms"] for e in base), rel=0.1
    )


def test_silence_is_silence():
    assert during(events("silence:service=checkout,start=190,duration=230")) == []


def test_malformed_events_come_at_the_share_asked_for_and_in_every_way():
    found = run("reject_burst:rate=0.3", duration_s=600)
    broken = [simulated for simulated in found if simulated.refused_as is not None]
    assert len(broken) / len(found) == pytest.approx(0.3, abs=0.02)
    assert {simulated.refused_as.value for simulated in broken} == {
        "missing_field",
        "wrong_type",
        "invalid_value",
        "inconsistent",
        "clock",
        "not_json",
        "not_utf8",
    }


def test_truth_counts_what_is_there(usual):
    truth = Truth()
    for simulated in usual:
        truth.count(simulated)
    found = [s.item for s in usual if not s.item.get("test")]
    total = truth.total()
    assert (truth.events, truth.tests) == (len(usual), len(usual) - len(found))
    assert total.calls == len(found)
    assert total.errors == sum(event["status"] == "error" for event in found)
    assert total.input_tokens == sum(event.get("input_tokens", 0) for event in found)
    assert total.context_hits == sum(event["context"]["hit"] for event in found if "context" in event)
    minutes = Counter(event["timestamp"][:16] for event in found)
    by_minute = Counter()
    for (minute_us, _), counts in truth.windows.items():
        by_minute[minute_us] += counts.calls
    assert sorted(by_minute.values()) == sorted(minutes.values())


def test_truth_counts_the_reasons_of_malformed_events_and_can_be_written():
    truth = Truth()
    for simulated in run("reject_burst:rate=0.5", duration_s=60):
        truth.count(simulated)
    written = truth.as_json()
    assert sum(written["rejects"].values()) == sum(truth.rejects.values()) > 100
    assert sum(window["calls"] for window in written["windows"]) == truth.events - truth.tests
    encode_json(written)


def test_without_a_duration_traffic_does_not_end():
    options = SimulationOptions(start_us=START_US, rate_per_second=1000)
    assert sum(1 for _ in islice(simulate(options), 5_000)) == 5_000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rate_per_second": 0}, "rate must be above 0"),
        ({"duration_s": 0}, "duration must be above 0"),
        ({"rhythm": 1}, "rhythm must be 0 … 0.95"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"services": ("serch",)}, "no service 'serch'; there are support-chat"),
        ({"services": ()}, "name at least one service"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(OptionError, match=text):
        SimulationOptions(start_us=START_US, **options)
