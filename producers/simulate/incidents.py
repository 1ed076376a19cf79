"""Incidents on request: what goes wrong, for which calls, when, and how badly.

Written as `kind:key=value,key=value`, for example `error_burst:service=checkout,start=300,duration=600,rate=0.4`,
or as `[[incident]]` tables of a TOML file with the same keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal, cast, get_args

from tokentide.producers.simulate.catalog import MODELS, SERVICES, TENANTS
from tokentide.producers.traffic_errors import OptionError
from tokentide.schemas.call import ErrorClass

IncidentKind = Literal["error_burst", "cost_spike", "context_hit_drop", "latency", "silence", "reject_burst"]
CostDriver = Literal["calls", "prompt", "answer", "model", "cache"]
SlowStage = Literal["gateway", "queue", "context", "model", "output", "network"]


@dataclass(frozen=True, slots=True)
class Target:
    """Which calls: those that agree in everything named. Nothing named: all calls."""

    service: str | None = None
    provider: str | None = None
    model: str | None = None
    tenant: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident. Times count from the start of the simulation (of its live part, if it has a history)."""

    kind: IncidentKind
    start_s: float
    duration_s: float
    target: Target = Target()
    rate: float = 0.0
    """Share of the calls that fail (`error_burst`), that are malformed (`reject_burst`), or multi-turn calls
    that still find their context (`context_hit_drop`)."""
    factor: float = 1.0
    """How many times more calls, longer prompts or answers (`cost_spike`), or slower (`latency`)."""
    error_class: ErrorClass = "server"
    driver: CostDriver = "calls"
    dear_model: str = "claude-opus-4-7"
    stage: SlowStage = "model"

    def is_active(self, at_s: float) -> bool:
        """Half-open: from the start on, no longer at its end."""
        return self.start_s <= at_s < self.start_s + self.duration_s

    def later(self, by_s: float) -> Incident:
        """The same, later."""
        return replace(self, start_s=self.start_s + by_s)


_DEFAULTS: Final[Mapping[IncidentKind, Mapping[str, float]]] = {
    "error_burst": {"rate": 0.4},
    "cost_spike": {"factor": 5.0},
    "context_hit_drop": {"rate": 0.1},
    "latency": {"factor": 5.0},
    "silence": {},
    "reject_burst": {"rate": 0.3},
}
_OWN_KEYS: Final[Mapping[IncidentKind, tuple[str, ...]]] = {
    "error_burst": ("rate", "class"),
    "cost_spike": ("factor", "by", "to"),
    "context_hit_drop": ("rate",),
    "latency": ("factor", "stage"),
    "silence": (),
    "reject_burst": ("rate",),
}
_TARGETS: Final = ("service", "provider", "model", "tenant", "prompt")
_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "service": tuple(service.name for service in SERVICES),
    "provider": tuple(dict.fromkeys(model.provider for model in MODELS.values())),
    "model": tuple(MODELS),
    "tenant": tuple(name for name, _ in TENANTS),
    "prompt": tuple(template.name for service in SERVICES for template in service.templates if template.name),
    "to": tuple(MODELS),
    "class": get_args(ErrorClass),
    "by": get_args(CostDriver),
    "stage": get_args(SlowStage),
}


def parse_incident(text: str) -> Incident:
    """An incident from `kind:key=value,…`; times in seconds, or with a unit: `90`, `5m`, `2h`.

    Raises:
        OptionError: it is none; the message names the key and what it may be.
    """
    kind, _, rest = text.partition(":")
    values: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise OptionError(f"incident {text!r}: {part!r} is not key=value")
        values[key.strip()] = value.strip()
    return _incident(kind.strip(), values, f"incident {text!r}")


def load_incidents(path: Path) -> tuple[Incident, ...]:
    """The `[[incident]]` tables of a TOML file.

    Raises:
        OptionError: the file cannot be read, or holds something else.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} is not TOML: {error}") from error
    tables = document.get("incident")
    if set(document) != {"incident"} or not isinstance(tables, list):
        raise OptionError(f"{path} must hold [[incident]] tables and nothing else")
    incidents = []
    for number, table in enumerate(tables, start=1):
        values = {str(key): str(value) for key, value in table.items() if key != "kind"}
        incidents.append(_incident(str(table.get("kind", "")), values, f"{path}, incident {number}"))
    return tuple(incidents)


def _incident(kind: str, values: Mapping[str, str], where: str) -> Incident:
    if kind not in get_args(IncidentKind):
        raise OptionError(f"{where}: no kind {kind!r}{_hint(kind, get_args(IncidentKind))}")
    known_kind = cast("IncidentKind", kind)
    allowed = ("start", "duration", *_OWN_KEYS[known_kind], *_TARGETS)
    for key, value in values.items():
        if key not in allowed:
            raise OptionError(f"{where}: {kind} takes no {key!r}{_hint(key, allowed)}")
        if key in _KNOWN and value not in _KNOWN[key]:
            raise OptionError(f"{where}: no {key} {value!r}{_hint(value, _KNOWN[key])}")
    read = _Reader(values, where)
    defaults = _DEFAULTS[known_kind]
    return Incident(
        kind=known_kind,
        start_s=read.number("start", 0.0, parse_seconds),
        duration_s=read.number("duration", 600.0, parse_seconds, above=0),
        target=Target(**{key: values[key] for key in _TARGETS if key in values}),
        rate=read.number("rate", defaults.get("rate", 0.0), float, at_least=0, at_most=1),
        factor=read.number("factor", defaults.get("factor", 1.0), float, above=0, at_most=1000),
        error_class=cast("ErrorClass", values.get("class", "server")),
        driver=cast("CostDriver", values.get("by", "calls")),
        dear_model=values.get("to", "claude-opus-4-7"),
        stage=cast("SlowStage", values.get("stage", "model")),
    )


def parse_seconds(text: str) -> float:
    """`90`, `90s`, `5m`, `2h`, `1d` → seconds; may be negative.

    Raises:
        ValueError: it is none of them.
    """
    factor = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:], 0)
    seconds = float(text[:-1]) * factor if factor else float(text)
    if seconds - seconds != 0:
        raise ValueError("not finite")
    return seconds


@dataclass(frozen=True, slots=True)
class _Reader:
    values: Mapping[str, str]
    where: str

    def number(
        self,
        key: str,
        default: float,
        read: Callable[[str], float],
        *,
        above: float | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> float:
        if key not in self.values:
            return default
        try:
            number = read(self.values[key])
        except ValueError:
            raise OptionError(f"{self.where}: {key} {self.values[key]!r} is no number") from None
        if (
            number - number != 0
            or (above is not None and number <= above)
            or (at_least is not None and number < at_least)
            or (at_most is not None and number > at_most)
        ):
            low = f"above {above:g}" if above is not None else f"{at_least or 0:g}"
            high = "" if at_most is None else f" … {at_most:g}"
            raise OptionError(f"{self.where}: {key} must be {low}{high}")
        return number


def _hint(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
