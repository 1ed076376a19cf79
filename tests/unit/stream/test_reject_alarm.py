from __future__ import annotations

import pytest

from tokentide.schemas.rejects import RejectReason
from tokentide.stream.reject_alarm import FEWEST_EVENTS, PAUSE_S, REPEAT_S, SPAN_S, RejectAlarm, Saying
from tokentide.stream.taken import Runs, Taken

SHARE = 0.01
RUN = 1_000


def alarm() -> RejectAlarm[str]:
    return RejectAlarm(share=SHARE, run=RUN)


def mixed(accepted: int, refused: int, reason: RejectReason = RejectReason.WRONG_TYPE) -> Taken:
    """Refused events one by one between accepted ones."""
    return Taken(
        events=accepted, refused={reason: refused} if refused else {}, runs=Runs(0, min(refused, 1), 0)
    )


def only_refused(count: int) -> Taken:
    return Taken(refused={RejectReason.NOT_JSON: count}, runs=Runs(count, count, count))


def said(alarm: RejectAlarm[str], now_s: float) -> list[tuple[str, bool]]:
    return [(saying.kind, saying.is_over) for saying in alarm.due(now_s)]


# --- the share


def test_a_share_surely_above_the_limit_is_said_with_its_figures() -> None:
    found = alarm()
    found.observe("p", mixed(960, 40), 0.0)
    assert found.is_on("share")
    assert found.due(0.0) == [
        Saying("share", is_over=False, accepted=960, refused={RejectReason.WRONG_TYPE: 40}, run=0)
    ]
    assert found.due(0.0) == []


def test_its_share_is_that_of_all_events() -> None:
    refused = {RejectReason.WRONG_TYPE: 30, RejectReason.CLOCK: 10}
    assert Saying("share", is_over=False, accepted=960, refused=refused, run=0).share == 0.04
    assert Saying("run", is_over=True, accepted=0, refused={}, run=0).share == 0.0


@pytest.mark.parametrize(
    ("accepted", "refused"),
    [(0, FEWEST_EVENTS - 1), (9_901, 99), (98, 2), (FEWEST_EVENTS * 10, 0)],
    ids=["too few events", "under the limit", "above it, but that may be chance", "none"],
)
def test_less_is_no_alarm(accepted: int, refused: int) -> None:
    found = alarm()
    found.observe("p", mixed(accepted, refused), 0.0)
    assert said(found, 0.0) == []
    assert found.begun["share"] == 0


def test_the_share_is_that_of_all_partitions_over_the_last_minutes() -> None:
    found = alarm()
    found.observe("p", mixed(10_000, 0), 0.0)
    found.observe("q", mixed(500, 50), 1.0)
    assert not found.is_on("share")
    found.observe("q", mixed(500, 50), float(SPAN_S + 11))
    assert found.is_on("share")
    (saying,) = found.due(float(SPAN_S + 11))
    assert (saying.accepted, saying.refused) == (500, {RejectReason.WRONG_TYPE: 50})


def test_it_is_over_when_the_share_is_well_below_the_limit_and_not_before() -> None:
    found = alarm()
    found.observe("p", mixed(900, 100), 0.0)
    assert said(found, 0.0) == [("share", False)]
    found.observe("p", mixed(10_200, 0), 1.0)  # 0.89 %
    assert said(found, 1.0) == []
    found.observe("p", mixed(2_000, 0), 2.0)  # 0.76 %
    assert said(found, 2.0) == [("share", True)]


def test_it_is_over_when_nothing_comes_any_more() -> None:
    found = alarm()
    found.observe("p", mixed(900, 100), 0.0)
    assert said(found, 0.0) == [("share", False)]
    assert said(found, SPAN_S - 1) == []
    assert said(found, SPAN_S + 11) == [("share", True)]
    assert not found.is_on("share")


def test_a_limit_of_one_switches_it_off() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    found.observe("p", mixed(0, 500), 0.0)
    assert not found.is_on("share")


# --- the run


def test_a_run_over_several_batches_of_a_partition_is_said() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    for second in range(3):
        found.observe("p", only_refused(300), float(second))
    assert said(found, 2.0) == []
    found.observe("p", only_refused(200), 3.0)
    (saying,) = found.due(3.0)
    assert (saying.kind, saying.is_over, saying.run) == ("run", False, 1_100)


def test_runs_of_two_partitions_do_not_add_up() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    found.observe("p", only_refused(600), 0.0)
    found.observe("q", only_refused(600), 0.0)
    assert not found.is_on("run")


def test_one_accepted_event_ends_a_run() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    found.observe("p", only_refused(600), 0.0)
    found.observe("p", Taken(duplicates=1), 1.0)
    found.observe("p", only_refused(600), 2.0)
    assert not found.is_on("run")
    found.observe("p", only_refused(400), 3.0)
    assert said(found, 3.0) == [("run", False)]
    found.observe("p", Taken(events=1), 4.0)
    assert said(found, 4.0) == [("run", True)]


def test_a_run_goes_on_from_the_end_of_a_batch_to_the_beginning_of_the_next() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    found.observe("p", Taken(events=5, refused={RejectReason.CLOCK: 600}, runs=Runs(0, 600, 600)), 0.0)
    found.observe("p", Taken(records=0), 1.0)  # gaps alone
    found.observe("p", Taken(events=5, refused={RejectReason.CLOCK: 400}, runs=Runs(400, 400, 0)), 2.0)
    assert found.begun["run"] == 1
    assert not found.is_on("run")
    assert said(found, 2.0) == [("run", False)], "a run that began and ended within a batch is said too"
    assert said(found, 3.0) == [("run", True)]


def test_a_run_of_a_partition_that_was_given_away_is_forgotten() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    found.observe("p", only_refused(RUN), 0.0)
    found.observe("q", only_refused(RUN), 0.0)
    found.keep_only(["q"])
    assert found.is_on("run")
    found.keep_only(["r"])
    assert not found.is_on("run")


# --- how often it is said


def test_while_it_lasts_it_is_said_again_every_five_minutes() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    lines = []
    for second in range(0, 1_000, 10):
        found.observe("p", only_refused(RUN), float(second))
        lines += [(second, is_over) for _, is_over in said(found, float(second))]
    assert lines == [(0, False), (REPEAT_S, False), (2 * REPEAT_S, False), (3 * REPEAT_S, False)]
    assert found.begun["run"] == 1


def test_said_again_with_nothing_new_it_still_has_its_length() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    found.observe("p", only_refused(RUN + 50), 0.0)
    lengths = [saying.run for second in (0, 301, 602) for saying in found.due(float(second))]
    assert lengths == [RUN + 50] * 3


def test_the_longest_of_two_runs_is_said_also_where_only_the_other_grew() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    found.observe("p", only_refused(5 * RUN), 0.0)
    found.observe("q", only_refused(RUN), 0.0)
    assert [saying.run for saying in found.due(0.0)] == [5 * RUN]
    found.observe("q", only_refused(RUN), 1.0)
    assert [saying.run for saying in found.due(301.0)] == [5 * RUN]


def test_what_comes_and_goes_is_said_once_a_minute() -> None:
    found: RejectAlarm[str] = RejectAlarm(share=1.0, run=RUN)
    beginnings = []
    for second in range(120):
        found.observe("p", only_refused(RUN), float(second))
        found.observe("p", Taken(events=1), float(second))
        beginnings += [second for _, is_over in said(found, float(second)) if not is_over]
    assert beginnings == [0, PAUSE_S]
    assert found.begun["run"] == 120


def test_memory_is_bounded_however_long_it_runs() -> None:
    found = alarm()
    for second in range(10 * SPAN_S):
        found.observe("p", mixed(10, 1), float(second))
    assert len(found._slices) <= SPAN_S // 10 + 2


# --- what an earlier worker had raised


def test_an_alarm_of_an_earlier_worker_is_not_over_before_there_are_events_that_say_so() -> None:
    found = alarm()
    found.go_on_with({"share": 1_000}, 0.0)
    assert said(found, 1.0) == []
    found.observe("p", mixed(999, 0), 2.0)
    assert said(found, 2.0) == []
    found.observe("p", mixed(1, 0), 3.0)
    assert said(found, 3.0) == [("share", True)]
    assert said(found, 4.0) == []


def test_however_few_it_rested_on_a_handful_does_not_end_it() -> None:
    found = alarm()
    found.go_on_with({"run": 2}, 0.0)
    found.observe("p", mixed(FEWEST_EVENTS - 1, 0), 1.0)
    assert said(found, 1.0) == []
    found.observe("p", mixed(1, 0), 2.0)
    assert said(found, 2.0) == [("run", True)]


def test_an_alarm_of_an_earlier_worker_ends_when_nothing_comes_any_more() -> None:
    found = alarm()
    found.go_on_with({"run": 1_000}, 0.0)
    assert said(found, SPAN_S - 1.0) == []
    assert said(found, float(SPAN_S)) == [("run", True)]


def test_it_goes_on_where_events_are_still_refused() -> None:
    found = alarm()
    found.go_on_with({"share": 1_000}, 0.0)
    found.observe("p", mixed(900, 100), 1.0)
    assert said(found, 1.0) == []  # it was said, by the earlier worker
    assert said(found, float(REPEAT_S)) == [("share", False)]


def test_after_partitions_came_or_went_what_lasts_is_said_anew() -> None:
    found = alarm()
    found.observe("p", mixed(900, 100), 0.0)
    assert said(found, 0.0) == [("share", False)]
    found.go_on_with({}, 1.0)
    assert said(found, 1.0) == [("share", False)]


def test_an_alarm_that_is_gone_on_with_after_a_rebalance_is_not_said_anew() -> None:
    found = alarm()
    found.observe("p", mixed(900, 100), 0.0)
    assert said(found, 0.0) == [("share", False)]
    found.go_on_with({"share": 1_000}, 1.0)
    assert said(found, 1.0) == []
