"""Names of providers and service tiers as they occur in events, in the words of the price book.

Provider names come from OpenTelemetry (`gen_ai.provider.name` and the older `gen_ai.system`), from gateways
and from SDKs; the table has those that the book's own matching would miss or would give to another provider
(`azure.ai.openai` contains `openai`, but is billed by Azure).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PROVIDERS: Final[Mapping[str, str]] = {
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "azureopenai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "grok": "x-ai",
    "fireworks_ai": "fireworks",
    "moonshot_ai": "moonshotai",
    "moonshot": "moonshotai",
    "together_ai": "together",
    "together.ai": "together",
    "z_ai": "zai",
    "z-ai": "zai",
}

_STANDARD_TIERS: Final = frozenset(
    {"", "auto", "default", "standard", "standard_only", "on_demand", "on-demand", "ondemand", "regular"}
)


def provider_id(name: str) -> str:
    """The book's id for a provider name, or the name in lower case when the table does not have it."""
    lowered = name.strip().lower()
    return _PROVIDERS.get(lowered, lowered)


def standard_tier(tier: str | None) -> str | None:
    """The service tier in lower case; None for every name of the standard one."""
    if tier is None:
        return None
    lowered = tier.strip().lower()
    return None if lowered in _STANDARD_TIERS else lowered


def price_context(tier: str) -> dict[str, str]:
    """The conditions of genai-prices that a tier (not the standard one) fulfils."""
    context = {"service_tier": tier}
    if tier == "batch":
        context["processing"] = "batch"
    if tier == "fast":
        context["speed"] = "fast"
    return context
