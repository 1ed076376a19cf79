"""Topics as planned, against a broker in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from tokentide.cli.exits import UnreachableError
from tokentide.cli.kafka_access import kafka_errors
from tokentide.cli.topics import Found, KafkaTopics, Outcome, apply_plans
from tokentide.config import KafkaSettings, load_settings
from tokentide.config.topics import TopicPlan, topic_plans

PLAN = TopicPlan("llm.events", 4, 1, {"retention.ms": "100", "message.timestamp.type": "LogAppendTime"})


@dataclass
class FakeTopics:
    """`gives` overrides the number of partitions that a new topic gets."""

    topics: dict[str, Found] = field(default_factory=dict)
    gives: int | None = None
    is_raced: bool = False

    def find(self, names: Sequence[str]) -> Mapping[str, Found]:
        return {name: self.topics[name] for name in names if name in self.topics}

    def create(self, plan: TopicPlan) -> bool:
        self.topics[plan.name] = Found(self.gives or plan.partitions, plan.replication_factor, plan.configs)
        return not self.is_raced

    def set_configs(self, name: str, configs: Mapping[str, str]) -> None:
        found = self.topics[name]
        self.topics[name] = found._replace(configs={**found.configs, **configs})

    def add_partitions(self, name: str, total: int) -> None:
        self.topics[name] = self.topics[name]._replace(partitions=total)


def applied(store: FakeTopics, *, update: bool = False, dry_run: bool = False) -> Outcome:
    (outcome,) = apply_plans(store, [PLAN], update=update, dry_run=dry_run)
    return outcome


def test_a_missing_topic_is_created_and_read_back() -> None:
    assert applied(FakeTopics()) == Outcome("llm.events", "created", 4)


def test_a_second_time_changes_nothing() -> None:
    store = FakeTopics()
    applied(store)
    assert applied(store) == Outcome("llm.events", "as planned", 4)


def test_a_topic_that_somebody_else_has_just_created_is_no_error() -> None:
    assert applied(FakeTopics(is_raced=True)).state == "as planned"


def test_a_broker_that_gives_fewer_partitions_is_noticed() -> None:
    outcome = applied(FakeTopics(gives=1))
    assert (outcome.state, outcome.notes) == ("differs", ("1 partitions instead of 4",))


def test_more_partitions_than_planned_are_used_and_said() -> None:
    outcome = applied(FakeTopics({"llm.events": Found(12, 1, PLAN.configs)}))
    assert (outcome.state, outcome.notes) == (
        "as planned",
        ("8 more partitions than planned; they are used",),
    )


def test_another_configuration_is_left_alone_and_named() -> None:
    store = FakeTopics({"llm.events": Found(4, 1, {**PLAN.configs, "retention.ms": "7"})})
    outcome = applied(store)
    assert (outcome.state, outcome.notes) == ("differs", ("retention.ms=7 instead of 100",))
    assert store.topics["llm.events"].configs["retention.ms"] == "7"


def test_with_update_both_are_mended() -> None:
    store = FakeTopics({"llm.events": Found(2, 1, {**PLAN.configs, "retention.ms": "7"})})
    assert applied(store, update=True) == Outcome("llm.events", "updated", 4)
    assert store.topics["llm.events"] == Found(4, 1, PLAN.configs)


def test_update_touches_nothing_that_we_do_not_plan() -> None:
    theirs = {**PLAN.configs, "compression.type": "zstd"}
    store = FakeTopics({"llm.events": Found(4, 1, {**theirs, "retention.ms": "7"})})
    assert applied(store, update=True).state == "updated"
    assert store.topics["llm.events"].configs == theirs


def test_a_configuration_that_a_broker_may_refuse_is_a_remark_only() -> None:
    store = FakeTopics({"llm.events": Found(4, 1, {**PLAN.configs, "message.timestamp.type": "CreateTime"})})
    outcome = applied(store)
    assert outcome.state == "as planned"
    assert outcome.notes == ("message.timestamp.type=CreateTime instead of LogAppendTime",)


def test_a_broker_that_tells_no_configuration_differs_in_none() -> None:
    assert applied(FakeTopics({"llm.events": Found(4, 1, {})})).state == "as planned"


def test_a_dry_run_creates_nothing() -> None:
    store = FakeTopics()
    assert applied(store, dry_run=True) == Outcome("llm.events", "missing", 0)
    assert store.topics == {}


def test_the_plans_follow_the_settings() -> None:
    plans = topic_plans(
        load_settings(
            environ={
                "TOKENTIDE_TOPICS_PREFIX": "p.",
                "TOKENTIDE_TOPICS_PARTITIONS": "12",
                "TOKENTIDE_TOPICS_EVENTS_RETENTION_HOURS": "2",
            }
        )
    )
    assert [(plan.name, plan.partitions) for plan in plans] == [
        ("p.events", 12),
        ("p.windows", 12),
        ("p.anomalies", 1),
        ("p.rejected", 1),
    ]
    assert plans[0].configs["retention.ms"] == str(2 * 3600 * 1000)


def test_retention_counts_from_the_arrival_so_that_old_traces_stay() -> None:
    by_name = {plan.name: plan for plan in topic_plans(load_settings(environ={}))}
    for name in ("llm.events", "llm.windows", "llm.rejected"):
        assert by_name[name].configs["message.timestamp.type"] == "LogAppendTime"
    assert by_name["llm.anomalies"].configs["cleanup.policy"] == "compact"


@pytest.mark.parametrize(("factor", "in_sync"), [("1", None), ("2", None), ("3", "2")])
def test_three_copies_make_a_write_wait_for_two(factor: str, in_sync: str | None) -> None:
    for plan in topic_plans(load_settings(environ={"TOKENTIDE_TOPICS_REPLICATION_FACTOR": factor})):
        assert plan.replication_factor == int(factor)
        assert plan.configs.get("min.insync.replicas") == in_sync


class BusyAdmin:
    """A broker that is choosing leaders and a controller: it answers with these codes in turn, then well."""

    def __init__(self, *codes: int, has_topic: bool = True) -> None:
        self._codes = list(codes)
        self._has_topic = has_topic

    def _code(self) -> int:
        return self._codes.pop(0) if self._codes else 0

    def describe_topics(self, names: list[str]) -> list[dict[str, object]]:
        parts = [{"replica_nodes": [1]}] * 4
        return [{"name": name, "error_code": self._code(), "partitions": parts} for name in names]

    def describe_configs(self, *_: object, **__: object) -> dict[str, object]:
        return {}

    def create_topics(self, *_: object, **__: object) -> dict[str, object]:
        code = self._code()
        if code == NOT_CONTROLLER:
            raise RuntimeError("Failed to find active controller id!")
        return {"topics": [{"error_code": code, "error_message": "busy"}]}

    def wait_for_topics(self, *_: object, **__: object) -> None:
        return


NOT_CONTROLLER = 41


@pytest.fixture
def _without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokentide.cli.kafka_patience.time.sleep", lambda _: None)


@pytest.mark.usefixtures("_without_waits")
@pytest.mark.parametrize("code", [5, 6, 7])
def test_a_topic_whose_leader_is_being_chosen_is_not_missing(code: int) -> None:
    assert KafkaTopics(BusyAdmin(code, code)).find(["llm.events"]) == {"llm.events": Found(4, 1, {})}


def test_a_topic_that_is_not_there_is_missing_at_once() -> None:
    assert KafkaTopics(BusyAdmin(3)).find(["llm.events"]) == {}


@pytest.mark.usefixtures("_without_waits")
@pytest.mark.parametrize("code", [NOT_CONTROLLER, 7, 89])
def test_a_topic_is_created_once_the_controller_is_there(code: int) -> None:
    assert KafkaTopics(BusyAdmin(code, code)).create(PLAN)


def test_a_controller_that_never_comes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokentide.cli.kafka_patience.PATIENCE_S", 0.0)
    with pytest.raises(UnreachableError, match="NotController"), kafka_errors(KafkaSettings()):
        KafkaTopics(BusyAdmin(*[NOT_CONTROLLER] * 9)).create(PLAN)
