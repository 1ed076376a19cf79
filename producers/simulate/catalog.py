"""The made-up company: what calls which model with which template, how often, how long.

Figures are plausible, not measured: medians of log-normal distributions, with model ids that the price
book knows. The order of every table is part of what a seed means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple


class Spread(NamedTuple):
    """A log-normal quantity: its median and the sigma of its logarithm (0.5: most within a factor of 2.7)."""

    median: float
    sigma: float


@dataclass(frozen=True, slots=True)
class Model:
    """A model and how fast it is."""

    name: str
    provider: str
    first_token_ms: Spread
    token_ms: float
    """Median time per further output token."""
    prompt_token_ms: float
    """Time per 1,000 input tokens that are not cached."""
    context_window: int
    failure_rate: float
    """Share of tries that fail for a while: rate limits, overload, time-outs."""
    reasoning_share: float = 0.0
    writes_cache: bool = False
    """The provider charges for writing to its prompt cache, and says how much."""


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt template with the sizes of what it brings and gets."""

    name: str
    version: str
    feature: str
    weight: float
    system_tokens: int
    user_tokens: Spread
    answer_tokens: Spread


@dataclass(frozen=True, slots=True)
class Service:
    """An application that calls models."""

    name: str
    share: float
    """Of all calls."""
    operation: str
    models: tuple[tuple[str, float], ...]
    fallback: str | None
    templates: tuple[Template, ...]
    continued: float = 0.0
    """Share of calls that go on with a conversation."""
    most_turns: int = 1
    streamed: float = 0.0
    retrieves: bool = False
    cached_answers: float = 0.0
    """Share of answers from the response cache."""
    checks_output: bool = False
    function: str | None = None
    """Serverless function that runs it."""
    service_tier: str | None = None
    reports_usage: bool = True
    hosts_model: bool = False
    """Runs its model itself: costs nothing per token, has a GPU."""
    has_variants: bool = False
    deployment: str = "2026-10-01"


MODELS: Final = {
    model.name: model
    for model in (
        Model("gpt-4.1-mini", "openai", Spread(380, 0.35), 8.5, 22, 1_047_576, 0.012),
        Model("gpt-4.1", "openai", Spread(540, 0.4), 15, 40, 1_047_576, 0.014),
        Model("gpt-4.1-nano", "openai", Spread(260, 0.3), 5.5, 12, 1_047_576, 0.008),
        Model("gpt-5-mini", "openai", Spread(1900, 0.5), 9, 25, 400_000, 0.012, reasoning_share=0.55),
        Model(
            "claude-sonnet-4-5-20250929",
            "anthropic",
            Spread(950, 0.4),
            14,
            55,
            200_000,
            0.018,
            writes_cache=True,
        ),
        Model(
            "claude-haiku-4-5-20251001",
            "anthropic",
            Spread(520, 0.35),
            7,
            24,
            200_000,
            0.014,
            writes_cache=True,
        ),
        Model("claude-opus-4-7", "anthropic", Spread(1400, 0.4), 21, 80, 200_000, 0.02, writes_cache=True),
        Model("gemini-2.5-flash", "google", Spread(420, 0.4), 5, 15, 1_048_576, 0.013),
        Model("text-embedding-3-small", "openai", Spread(60, 0.35), 0, 18, 8_191, 0.006),
        Model("qwen3-32b", "self_hosted", Spread(310, 0.45), 19, 90, 131_072, 0.009),
    )
}

SERVICES: Final = (
    Service(
        "support-chat",
        0.34,
        "chat",
        models=(("gpt-4.1-mini", 0.8), ("gpt-4.1", 0.2)),
        fallback="claude-haiku-4-5-20251001",
        templates=(
            Template("support_answer", "7", "help", 0.75, 1480, Spread(46, 0.8), Spread(190, 0.6)),
            Template("support_refund", "3", "refunds", 0.25, 1190, Spread(64, 0.7), Spread(150, 0.6)),
        ),
        continued=0.62,
        most_turns=24,
        streamed=0.92,
        checks_output=True,
        has_variants=True,
    ),
    Service(
        "search",
        0.22,
        "chat",
        models=(("gemini-2.5-flash", 1.0),),
        fallback="gpt-4.1-mini",
        templates=(Template("search_answer", "12", "search", 1.0, 620, Spread(18, 0.6), Spread(130, 0.5)),),
        streamed=0.7,
        retrieves=True,
        cached_answers=0.11,
    ),
    Service(
        "search-index",
        0.12,
        "embeddings",
        models=(("text-embedding-3-small", 1.0),),
        fallback=None,
        templates=(Template("", "", "indexing", 1.0, 0, Spread(420, 0.7), Spread(0, 0)),),
    ),
    Service(
        "checkout",
        0.12,
        "chat",
        models=(("gpt-4.1-mini", 1.0),),
        fallback="gpt-4.1-nano",
        templates=(
            Template("fraud_review", "4", "fraud", 0.6, 980, Spread(310, 0.4), Spread(38, 0.4)),
            Template("address_fix", "2", "address", 0.4, 410, Spread(70, 0.4), Spread(45, 0.3)),
        ),
        checks_output=True,
        function="checkout-llm",
    ),
    Service(
        "code-agent",
        0.08,
        "chat",
        models=(("claude-sonnet-4-5-20250929", 0.85), ("claude-opus-4-7", 0.15)),
        fallback="claude-haiku-4-5-20251001",
        templates=(Template("agent_step", "31", "coding", 1.0, 9200, Spread(900, 1.0), Spread(260, 0.8)),),
        continued=0.93,
        most_turns=120,
        streamed=1.0,
    ),
    Service(
        "reports",
        0.04,
        "chat",
        models=(("gpt-5-mini", 1.0),),
        fallback="gpt-4.1",
        templates=(
            Template("weekly_report", "5", "reports", 1.0, 1750, Spread(6200, 0.7), Spread(900, 0.4)),
        ),
        service_tier="flex",
    ),
    Service(
        "moderation",
        0.05,
        "chat",
        models=(("gpt-4.1-nano", 1.0),),
        fallback=None,
        templates=(Template("moderate", "9", "moderation", 1.0, 0, Spread(0, 0), Spread(0, 0)),),
        reports_usage=False,
    ),
    Service(
        "translate",
        0.03,
        "chat",
        models=(("qwen3-32b", 1.0),),
        fallback=None,
        templates=(Template("translate", "2", "translation", 1.0, 210, Spread(240, 0.7), Spread(260, 0.7)),),
        streamed=0.5,
        hosts_model=True,
    ),
)

TENANTS: Final = (
    ("acme", 0.26),
    ("globex", 0.19),
    ("initech", 0.14),
    ("umbrella", 0.11),
    ("hooli", 0.09),
    ("stark", 0.08),
    ("wayne", 0.06),
    ("wonka", 0.04),
    ("tyrell", 0.02),
    ("cyberdyne", 0.01),
)
REGIONS: Final = (("eu-west-1", 0.5), ("us-east-1", 0.35), ("ap-southeast-1", 0.15))
CLIENTS: Final = (("web", 0.55), ("ios", 0.2), ("android", 0.15), ("api", 0.1))
USERS_PER_TENANT: Final = 400

MESSAGES: Final = (
    "Where is my parcel? It should have come on Tuesday.",
    "This is the best coffee I have had in years, thank you!",
    "You people are useless, I want my money back now.",
    "Can I change the delivery address of an order that is under way?",
    "Le colis est arrivé ouvert, il manque deux articles.",
    "Das Paket kam beschädigt an. Was muss ich tun?",
    "Click here to win a free phone: it is not a trick, promise.",
    "How do I take milk stains out of wool?",
)
"""What the moderation service reads; it reports no usage, so that workers count these tokens."""
VERDICTS: Final = ("allowed", "allowed", "allowed", "needs review", "blocked: spam")
