"""Conversations that wait for their next turn, per service, and who speaks in them."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

from tokentide.producers.simulate.catalog import (
    CLIENTS,
    MODELS,
    REGIONS,
    TENANTS,
    USERS_PER_TENANT,
    Model,
    Service,
    Spread,
    Template,
)
from tokentide.producers.simulate.dice import Choice, Dice
from tokentide.producers.simulate.incidents import Incident, Target

MOST_WAITING: Final = 2_000
"""Conversations that wait, per service; more are forgotten, as users forget them."""
STAYING_SURPLUS: Final = 0.04
"""A little more conversations stay open than are gone on with, so that there is always one ready."""
PAUSE_S: Final = Spread(25.0, 0.9)
"""Until the user's next turn."""
STEP_S: Final = Spread(4.0, 0.7)
"""Until an agent's next step."""
_OLDEST_TURN: Final = 6
_TENANTS: Final = Choice(TENANTS)
_REGIONS: Final = Choice(REGIONS)
_CLIENTS: Final = Choice(CLIENTS)


@dataclass(slots=True)
class Conversation:
    """One conversation, or a single request: it is then one of a single turn."""

    conversation_id: str
    tenant: str
    user_id: str
    region: str
    client: str
    template: Template
    model: Model
    variant: str | None
    turn: int = 0
    """Turns so far."""
    context_tokens: int = 0
    """History that the next prompt carries."""
    cached_tokens: int = 0
    """Of the last prompt, what the provider's cache may still hold."""
    last_finish_us: int = 0


class ServicePool:
    """The conversations of one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._templates = Choice([(template, template.weight) for template in service.templates])
        self._models = Choice([(MODELS[name], weight) for name, weight in service.models])
        self._waiting: list[tuple[float, int, Conversation]] = []
        self._tickets = 0
        self._pause = STEP_S if service.operation == "chat" and service.most_turns > 50 else PAUSE_S

    def fill(self, dice: Dice, count: int, from_s: float) -> None:
        """Conversations that were under way before the simulation began."""
        if not self.service.continued:
            return
        for _ in range(min(count, MOST_WAITING)):
            conversation = self.begin(dice, None)
            conversation.turn = 1 + int(dice.roll() * _OLDEST_TURN)
            template = conversation.template
            per_turn = template.user_tokens.median + template.answer_tokens.median
            conversation.context_tokens = int(conversation.turn * per_turn)
            self._wait(conversation, from_s + dice.between(0, 60))

    def next(self, dice: Dice, at_s: float, forced: Incident | None) -> Conversation:
        """The conversation of a call that begins now: one that waits for it, or a new one."""
        goes_on = dice.chance(self.service.continued)
        if goes_on and self._waiting and self._waiting[0][0] <= at_s:
            return heapq.heappop(self._waiting)[2]
        return self.begin(dice, None if forced is None else forced.target)

    def begin(self, dice: Dice, wanted: Target | None) -> Conversation:
        """A new conversation; what an incident's target names is so."""
        tenant = _TENANTS.at(dice.roll())
        template = self._templates.at(dice.roll())
        model = self._models.at(dice.roll())
        if wanted is not None:
            tenant = wanted.tenant or tenant
            template = next((t for t in self.service.templates if t.name == wanted.prompt), template)
            model = self._wanted_model(wanted) or model
        user = int(dice.roll() ** 2 * USERS_PER_TENANT)
        region, client, by_half = _REGIONS.at(dice.roll()), _CLIENTS.at(dice.roll()), dice.roll()
        return Conversation(
            conversation_id=f"c-{dice.bits(64):016x}",
            tenant=tenant,
            user_id=f"{tenant}-u{user:03d}",
            region=region,
            client=client,
            template=template,
            model=model,
            variant=("A" if by_half < 0.5 else "B") if self.service.has_variants else None,
        )

    def finish(self, conversation: Conversation, dice: Dice, finish_s: float) -> None:
        """After a call: some conversations wait for a next turn."""
        pause_s, stays = dice.spread(self._pause), dice.chance(self.service.continued + STAYING_SURPLUS)
        is_full = conversation.context_tokens > conversation.model.context_window * 0.6
        if self.service.continued and stays and conversation.turn < self.service.most_turns and not is_full:
            self._wait(conversation, finish_s + pause_s)

    def _wait(self, conversation: Conversation, ready_s: float) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._tickets += 1
            heapq.heappush(self._waiting, (ready_s, self._tickets, conversation))

    def _wanted_model(self, wanted: Target) -> Model | None:
        models = [MODELS[name] for name, _ in self.service.models]
        return next(
            (m for m in models if wanted.model in {None, m.name} and wanted.provider in {None, m.provider}),
            None,
        )


def matches(target: Target, service: Service, conversation: Conversation) -> bool:
    """The call is one that an incident aims at."""
    return (
        target.service in {None, service.name}
        and target.tenant in {None, conversation.tenant}
        and target.model in {None, conversation.model.name}
        and target.provider in {None, conversation.model.provider}
        and target.prompt in {None, conversation.template.name}
    )
