from __future__ import annotations

import pytest

from tokentide.producers.simulate.incidents import (
    Incident,
    Target,
    load_incidents,
    parse_incident,
    parse_seconds,
)
from tokentide.producers.traffic_errors import OptionError


def test_an_incident_is_written_as_kind_and_pairs():
    assert parse_incident(
        "error_burst:service=checkout,start=300,duration=10m,rate=0.5,class=rate_limit"
    ) == Incident(
        kind="error_burst",
        start_s=300,
        duration_s=600,
        target=Target(service="checkout"),
        rate=0.5,
        error_class="rate_limit",
    )


@pytest.mark.parametrize(
    ("kind", "rate", "factor"),
    [
        ("error_burst", 0.4, 1),
        ("cost_spike", 0, 5),
        ("context_hit_drop", 0.1, 1),
        ("latency", 0, 5),
        ("silence", 0, 1),
        ("reject_burst", 0.3, 1),
    ],
)
def test_a_kind_alone_hits_everything_for_ten_minutes_with_a_strength_of_its_own(kind, rate, factor):
    incident = parse_incident(kind)
    assert (incident.rate, incident.factor) == (rate, factor)
    assert (incident.start_s, incident.duration_s, incident.target) == (0, 600, Target())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("outage", "no kind 'outage'; there are error_burst"),
        ("error_brust", "did you mean 'error_burst'?"),
        ("silence:rate=1", "silence takes no 'rate'"),
        ("latency:factr=3", "did you mean 'factor'?"),
        ("silence:service=chekout", "no service 'chekout'; did you mean 'checkout'?"),
        ("silence:model=gpt-9", "no model 'gpt-9'"),
        ("latency:stage=gpu", "no stage 'gpu'"),
        ("cost_spike:by=price", "no by 'price'"),
        ("error_burst:rate=1.5", "rate must be 0 … 1"),
        ("error_burst:rate=lots", "rate 'lots' is no number"),
        ("error_burst:rate=nan", "rate must be 0 … 1"),
        ("latency:factor=0", "factor must be above 0 … 1000"),
        ("silence:duration=0", "duration must be above 0"),
        ("silence:start=soon", "start 'soon' is no number"),
        ("silence:start", "'start' is not key=value"),
    ],
)
def test_an_incident_that_makes_no_sense_is_refused_with_the_key(text, problem):
    with pytest.raises(OptionError) as caught:
        parse_incident(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("-2h", -7200), ("1d", 86400), ("0.5", 0.5)]
)
def test_times_may_have_a_unit(text, seconds):
    assert parse_seconds(text) == seconds


def test_incidents_can_come_from_a_file(tmp_path):
    path = tmp_path / "incidents.toml"
    path.write_text(
        '[[incident]]\nkind = "silence"\nservice = "search"\nstart = 60\nduration = "2m"\n\n'
        '[[incident]]\nkind = "latency"\nfactor = 3.5\nstage = "queue"\n'
    )
    silence, latency = load_incidents(path)
    assert (silence.kind, silence.target.service, silence.start_s, silence.duration_s) == (
        "silence",
        "search",
        60,
        120,
    )
    assert (latency.factor, latency.stage) == (3.5, "queue")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("x = 1", "must hold [[incident]] tables and nothing else"),
        ("[[incident]", "is not TOML"),
        ("[[incident]]\nkind = 'silence'\n[[incident]]\nkind = 'x'", "incident 2: no kind 'x'"),
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path, content, problem):
    path = tmp_path / "incidents.toml"
    path.write_text(content)
    with pytest.raises(OptionError) as caught:
        load_incidents(path)
    assert problem in str(caught.value)


def test_an_incident_holds_from_its_start_up_to_its_end():
    incident = parse_incident("silence:start=10,duration=5")
    assert [incident.is_active(at) for at in (9.999, 10, 14.999, 15)] == [False, True, True, False]
    assert incident.later(100).is_active(110)
