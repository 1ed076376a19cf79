"""An incident: one message of the topic `llm.anomalies`, keyed by `anomaly_id`; the latest revision is the state."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AnomalyState = Literal["open", "resolved"]
Severity = Literal["warning", "critical"]


class Anomaly(BaseModel):
    """One state of an incident. It opens, is updated while it lasts, and is resolved; unchanged states
    are not repeated. `anomaly_id` follows from rule, series and start, so a replay yields it again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    anomaly_id: str = Field(description="Stable through the incident's life: 32 hex digits.")
    revision: int = Field(ge=1, description="Counts up with each message of the incident.")
    state: AnomalyState
    rule: str = Field(description="Name of the rule, such as `error_rate`.")
    metric: str = Field(description="What was measured, such as `error_rate` or `cost_usd`.")
    unit: str = Field(description="Unit of value, limit and baseline: `ratio`, `USD`, `ms`.")
    severity: Severity
    series: dict[str, str] = Field(description="The dimensions of the series that the incident is about.")
    started_at: str = Field(description="Event time of the first window over the limit, RFC 3339 UTC.")
    updated_at: str = Field(description="End of the newest window that this state rests on, RFC 3339 UTC.")
    resolved_at: str | None = Field(default=None, description="End of the window that resolved it.")
    window_start: str = Field(description="Start of the evaluated span, RFC 3339 UTC.")
    window_seconds: int = Field(description="Length of the evaluated span.")
    value: str = Field(description="Measured value, decimal text.")
    limit: str = Field(description="The limit it was held against, decimal text.")
    baseline: str | None = Field(default=None, description="The series' own past, where the rule has one.")
    samples: int = Field(description="Calls that the value rests on.")
    example_event_ids: list[str] = Field(
        default_factory=list, description="A few events that show it, earliest first."
    )
    summary: str = Field(description="One line for a human.")
