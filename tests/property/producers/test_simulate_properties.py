"""Whatever is asked of the simulator, its traffic keeps what it promises."""

from __future__ import annotations

from itertools import islice, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide.producers.event_models import model_for
from tokentide.producers.simulate.catalog import SERVICES
from tokentide.producers.simulate.generate import simulate
from tokentide.producers.simulate.incidents import Incident, Target
from tokentide.producers.simulate.options import SimulationOptions

SERVICE_NAMES = [service.name for service in SERVICES]
MOST_EVENTS = 150

incidents = st.builds(
    Incident,
    kind=st.sampled_from(
        ["error_burst", "cost_spike", "context_hit_drop", "latency", "silence", "reject_burst"]
    ),
    start_s=st.floats(-60, 60),
    duration_s=st.floats(0.1, 100),
    target=st.builds(
        Target,
        service=st.none() | st.sampled_from(SERVICE_NAMES),
        tenant=st.none() | st.sampled_from(["acme", "cyberdyne"]),
        provider=st.none() | st.sampled_from(["openai", "anthropic"]),
    ),
    rate=st.floats(0, 1),
    factor=st.floats(0.01, 4),
    error_class=st.sampled_from(["server", "rate_limit", "timeout", "content_filter"]),
    driver=st.sampled_from(["calls", "prompt", "answer", "model", "cache"]),
    stage=st.sampled_from(["gateway", "queue", "context", "model", "output", "network"]),
)
options = st.builds(
    SimulationOptions,
    seed=st.integers(0, 2**64 - 1),
    start_us=st.integers(946_684_800_000_000 + 10**12, 4 * 10**15),
    rate_per_second=st.floats(0.05, 20),
    duration_s=st.none() | st.floats(1, 100),
    rhythm=st.floats(0, 0.95),
    parts=st.just(0.0) | st.floats(0, 1),
    incidents=st.lists(incidents, max_size=3).map(tuple),
    services=st.none()
    | st.lists(st.sampled_from(SERVICE_NAMES), min_size=1, max_size=3, unique=True).map(tuple),
)


def is_silent(chosen: SimulationOptions) -> bool:
    """Nothing may ever come: an endless simulation is then not to be waited for."""
    return chosen.duration_s is None and chosen.rate_per_second < 1


@settings(max_examples=40, deadline=None)
@given(options.filter(lambda chosen: not is_silent(chosen)))
def test_traffic_is_valid_in_order_within_its_time_and_repeatable(chosen):
    found = list(islice(simulate(chosen), MOST_EVENTS))
    assert found == list(islice(simulate(chosen), MOST_EVENTS))
    assert all(a.finish_us <= b.finish_us for a, b in pairwise(found))
    for simulated in found:
        assert simulated.finish_us >= chosen.start_us
        if chosen.duration_s is not None:
            assert simulated.finish_us < chosen.start_us + chosen.duration_s * 1e6 + 1
        if simulated.refused_as is None:
            kind = simulated.item.get("event_type")
            assert model_for(kind).model_validate(simulated.item).timestamp == simulated.finish_us
            call = simulated.item if kind is None else simulated.call
            assert (call is None) == (kind in {"request", "evaluation"})
            if call is not None:
                assert sum(call["stages"].values()) < call["duration_ms"]
