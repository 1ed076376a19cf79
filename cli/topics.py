"""Topics as they are against topics as planned: compare, create, bring up to date."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from tokentide.cli.exits import NotReadyError, RefusedError
from tokentide.cli.kafka_access import RIGHTS, may_pass
from tokentide.cli.kafka_patience import patiently
from tokentide.config.topics import OPTIONAL_CONFIGS, TopicPlan

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

State = Literal["created", "as planned", "updated", "differs", "missing"]

NO_ERROR: Final = 0
NOT_AUTHORIZED: Final = (29, 31)
TOPIC_EXISTS: Final = 36
INVALID_REPLICATION_FACTOR: Final = 38
INVALID_CONFIG: Final = 40
POLICY_VIOLATION: Final = 44
_VISIBLE_WITHIN_S: Final = 15.0


class Found(NamedTuple):
    """A topic as the broker has it."""

    partitions: int
    replication_factor: int
    configs: Mapping[str, str]
    """Empty where the broker does not tell."""


class Outcome(NamedTuple):
    """What came of one topic."""

    topic: str
    state: State
    partitions: int
    notes: tuple[str, ...] = ()


class TopicStore(Protocol):
    """The broker's side; `KafkaTopics` is the real one."""

    def find(self, names: Sequence[str]) -> Mapping[str, Found]:
        """Topics that exist, of those named."""

    def create(self, plan: TopicPlan) -> bool:
        """Create one; False if somebody else has just done so. Raises `RefusedError`, `NotReadyError`."""

    def set_configs(self, name: str, configs: Mapping[str, str]) -> None:
        """Change these configurations and no others."""

    def add_partitions(self, name: str, total: int) -> None:
        """Raise the number of partitions."""


def apply_plans(
    store: TopicStore, plans: Sequence[TopicPlan], *, update: bool, dry_run: bool = False
) -> list[Outcome]:
    """Create what is missing, and compare or (with `update`) mend what is there.

    Partition counts are read back after creating: a broker may have given another number.
    Nothing is ever made smaller, and nothing is deleted.
    """
    names = [plan.name for plan in plans]
    before = store.find(names)
    created: set[str] = set()
    if not dry_run:
        for plan in plans:
            if plan.name not in before:
                if store.create(plan):
                    created.add(plan.name)
            elif update:
                _mend(store, plan, before[plan.name])
    after = store.find(names)
    return [_outcome(plan, before.get(plan.name), after.get(plan.name), created) for plan in plans]


def _mend(store: TopicStore, plan: TopicPlan, found: Found) -> None:
    wrong = _wrong_configs(plan, found)
    if wrong:
        store.set_configs(plan.name, {name: plan.configs[name] for name in wrong})
    if found.partitions < plan.partitions:
        store.add_partitions(plan.name, plan.partitions)


def differences(plan: TopicPlan, found: Found) -> tuple[str, ...]:
    """What has to be mended, in words; more partitions than planned are no difference."""
    few = f"{found.partitions} partitions instead of {plan.partitions}"
    return (
        *((few,) if found.partitions < plan.partitions else ()),
        *(_unlike(plan, found, name) for name in _wrong_configs(plan, found) if name not in OPTIONAL_CONFIGS),
    )


def remarks(plan: TopicPlan, found: Found) -> tuple[str, ...]:
    """What is otherwise than planned and may stay so, in words."""
    extra = found.partitions - plan.partitions
    return (
        *((f"{extra} more partitions than planned; they are used",) if extra > 0 else ()),
        *(_unlike(plan, found, name) for name in _wrong_configs(plan, found) if name in OPTIONAL_CONFIGS),
    )


def _wrong_configs(plan: TopicPlan, found: Found) -> list[str]:
    return [
        name for name, value in plan.configs.items() if name in found.configs and found.configs[name] != value
    ]


def _unlike(plan: TopicPlan, found: Found, name: str) -> str:
    return f"{name}={found.configs[name]} instead of {plan.configs[name]}"


def _outcome(plan: TopicPlan, before: Found | None, after: Found | None, created: set[str]) -> Outcome:
    if after is None:
        return Outcome(plan.name, "missing", 0)
    if wrong := differences(plan, after):
        return Outcome(plan.name, "differs", after.partitions, wrong)
    state: State = "as planned"
    if plan.name in created:
        state = "created"
    elif before is not None and differences(plan, before):
        state = "updated"
    return Outcome(plan.name, state, after.partitions, remarks(plan, after))


def described_topics(admin: KafkaAdminClient, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """What the broker tells of topics, missing ones among them with their error code.

    Raises:
        kafka.errors.KafkaError: it cannot tell, and could not for some seconds.
    """

    def ask() -> list[Mapping[str, Any]]:
        described: list[Mapping[str, Any]] = admin.describe_topics(list(names))
        for topic in described:
            _raise_what_passes(topic["error_code"], topic["name"])
        return described

    return patiently(ask)


def _raise_what_passes(code: int, name: str) -> None:
    """A topic whose leaders are being chosen, or a controller that changes: no answer yet."""
    from kafka.errors import for_code  # noqa: PLC0415 - loaded by now

    if code and may_pass(error := for_code(code)(name)):
        raise error


class KafkaTopics:
    """The topics of a real broker."""

    def __init__(self, admin: KafkaAdminClient) -> None:
        self._admin = admin

    def find(self, names: Sequence[str]) -> Mapping[str, Found]:
        """Topics that exist, of those named; configurations are empty where the login may not read them."""
        described = described_topics(self._admin, names)
        there = {t["name"]: t["partitions"] for t in described if t["error_code"] == NO_ERROR}
        configs = patiently(lambda: self._configs(list(there)))
        return {
            name: Found(
                partitions=len(partitions),
                replication_factor=min((len(p["replica_nodes"]) for p in partitions), default=0),
                configs=configs.get(name, {}),
            )
            for name, partitions in there.items()
        }

    def _configs(self, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        from kafka.admin import ConfigResource, ConfigResourceType  # noqa: PLC0415 - loaded by now

        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        by_type = self._admin.describe_configs(resources, config_filter="all")
        return {
            name: {key: entry["value"] for key, entry in entries.items()}
            for name, entries in by_type.get("topic", {}).items()
        }

    def create(self, plan: TopicPlan) -> bool:
        """Create one topic and wait until it can be seen."""
        error, text = patiently(lambda: self._create(plan, plan.configs))
        if error in (INVALID_CONFIG, POLICY_VIOLATION):
            fewer = {name: value for name, value in plan.configs.items() if name not in OPTIONAL_CONFIGS}
            error, text = patiently(lambda: self._create(plan, fewer))
        if error == TOPIC_EXISTS:
            return False
        if error == INVALID_REPLICATION_FACTOR:
            raise NotReadyError(
                f"{plan.name}: the cluster has fewer brokers than topics.replication_factor "
                f"({plan.replication_factor})",
                hint="Set TOKENTIDE_TOPICS_REPLICATION_FACTOR to the number of brokers, at most 3.",
            )
        if error in NOT_AUTHORIZED:
            raise RefusedError(f"{plan.name} cannot be created: the login may not", hint=RIGHTS)
        if error != NO_ERROR:
            raise RefusedError(f"{plan.name} cannot be created: {text or f'error {error}'}")
        self._admin.wait_for_topics([plan.name], timeout_ms=_VISIBLE_WITHIN_S * 1000)
        return True

    def _create(self, plan: TopicPlan, configs: Mapping[str, str]) -> tuple[int, str]:
        wanted = {
            plan.name: {
                "num_partitions": plan.partitions,
                "replication_factor": plan.replication_factor,
                "configs": dict(configs),
            }
        }
        from kafka.errors import NotControllerError  # noqa: PLC0415 - loaded by now

        try:
            answer = self._admin.create_topics(wanted, raise_errors=False)["topics"][0]
        except RuntimeError as error:  # kafka-python's way to say that the controller has moved twice
            raise NotControllerError(plan.name) from error
        _raise_what_passes(int(answer["error_code"]), plan.name)
        return int(answer["error_code"]), str(answer.get("error_message") or "")

    def set_configs(self, name: str, configs: Mapping[str, str]) -> None:
        """Change these configurations and no others."""
        from kafka.admin import ConfigResource, ConfigResourceType  # noqa: PLC0415 - loaded by now

        resource = ConfigResource(ConfigResourceType.TOPIC, name, dict(configs))
        answer = self._admin.alter_configs([resource], raise_on_unknown=False)
        result = answer.get("topic", {}).get(name, "OK")
        if result != "OK":
            raise RefusedError(f"{name} cannot be changed: {result}")

    def add_partitions(self, name: str, total: int) -> None:
        """Raise the number of partitions and wait until all can be seen."""
        from kafka import errors  # noqa: PLC0415 - loaded by now

        try:
            self._admin.create_partitions({name: total})
        except errors.IncompatibleBrokerVersion as error:
            raise RefusedError(
                f"{name}: this broker cannot add partitions",
                hint="Create the topic anew, or set topics.partitions to what it has.",
            ) from error
        deadline = time.monotonic() + _VISIBLE_WITHIN_S
        while self.find([name])[name].partitions < total and time.monotonic() < deadline:
            time.sleep(0.1)
