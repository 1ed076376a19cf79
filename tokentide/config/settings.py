"""The settings of every Tokentide program: one frozen object, built once in `main` and passed down.

Each field is one setting. Its name is `group.field`; `tokentide.config.catalogue` derives from it the
environment variable and the reference in docs/settings.md. Reading the sources is the matter of
`tokentide.config.load`. A secret has no default.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    field_validator,
    model_validator,
)

from tokentide.config.clickhouse_url import ClickHouseUrl, parse_clickhouse_url
from tokentide.schemas.aggregates import DEFAULT_DIMENSIONS, DIMENSIONS
from tokentide.schemas.limits import MAX_RECORD_BYTES

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
ContentPolicy = Literal["hash", "keep", "none"]
DeadLetterPolicy = Literal["full", "hash"]
LogFormat = Literal["auto", "console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
DecoderChoice = Literal["auto", "native", "python"]
Stage = Literal["ingest", "detect"]

_TOPIC_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,100}")
_HOST_PORT: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_ALLOWED_HOST: Final = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


def _listed(value: object) -> object:
    """A list is written with commas where the source knows only text."""
    if isinstance(value, str):
        return tuple(part for raw in value.split(",") if (part := raw.strip()))
    return value


def _clickhouse(value: object) -> object:
    return parse_clickhouse_url(value) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
File = Annotated[Path, AfterValidator(Path.expanduser)]
Url = Annotated[ClickHouseUrl, BeforeValidator(_clickhouse), PlainSerializer(str, return_type=str)]


class _Group(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # a value may be a secret, also one put in the wrong place
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )


class KafkaSettings(_Group):
    """How to reach Kafka, the same for consumers, producers and administration."""

    bootstrap_servers: Names = Field(
        default=("127.0.0.1:9092",), description="Brokers to ask first, `host:port`, with commas."
    )
    client_id: str = Field(default="tokentide", min_length=1, description="Name shown in the broker's logs.")
    security_protocol: SecurityProtocol = Field(
        default="PLAINTEXT", description="Encryption and login of the brokers' listener."
    )
    sasl_mechanism: SaslMechanism = Field(default="PLAIN", description="How to log in, with SASL protocols.")
    sasl_username: str | None = Field(default=None, description="User of the login.")
    sasl_password: SecretStr | None = Field(default=None, description="Password of the login.")
    allow_plaintext_sasl: bool = Field(
        default=False, description="Allow SASL without TLS, which sends the password readable by the network."
    )
    tls_ca_file: File | None = Field(
        default=None, description="Certificates to trust (PEM); the system's own when unset."
    )
    tls_cert_file: File | None = Field(default=None, description="Client certificate (PEM).")
    tls_key_file: File | None = Field(default=None, description="Key of the client certificate (PEM).")
    tls_key_password: SecretStr | None = Field(default=None, description="Password of that key.")
    tls_check_hostname: bool = Field(
        default=True, description="Check that the certificate names the broker's host."
    )
    request_timeout_seconds: float = Field(
        default=30.0, ge=1, le=600, description="Longest wait for one answer of a broker."
    )

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether the client logs in."""
        return self.security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        if not servers:
            raise ValueError("names no broker")
        for number, server in enumerate(servers, 1):
            match = _HOST_PORT.fullmatch(server)
            if match is None or not 0 < int(match[2]) < 65_536:
                # The entry is not repeated: some write a password into it.
                raise ValueError(
                    f"entry {number} is not host:port, such as broker-1:9092 (no scheme, no user or password)"
                )
        return servers

    @model_validator(mode="after")
    def _login_is_complete_and_safe(self) -> Self:
        if self.uses_sasl and not (self.sasl_username and self.sasl_password):
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_username and sasl_password"
            )
        if self.security_protocol == "SASL_PLAINTEXT" and not self.allow_plaintext_sasl:
            raise ValueError(
                "SASL_PLAINTEXT sends the password unencrypted: use SASL_SSL, "
                "or set allow_plaintext_sasl to true on a network that you trust"
            )
        if self.sasl_password and not self.uses_sasl:
            raise ValueError(
                f"sasl_password is set, but security_protocol {self.security_protocol} does not log in: "
                "set security_protocol to SASL_SSL"
            )
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file belong together: set both or neither")
        return self


class ClickHouseSettings(_Group):
    """How to reach ClickHouse, over its HTTP interface."""

    url: Url = Field(
        default=parse_clickhouse_url("http://127.0.0.1:8123/tokentide"),
        description="`http[s]://user:password@host:port/database`.",
    )
    tls_ca_file: File | None = Field(
        default=None, description="Certificates to trust with https (PEM); the system's own when unset."
    )
    connect_timeout_seconds: float = Field(
        default=5.0, gt=0, le=300, description="Longest wait for a connection."
    )
    request_timeout_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Longest wait for one answer."
    )


class TopicSettings(_Group):
    """The topics, and what `tokentide init` creates them with."""

    prefix: str = Field(default="llm.", description="Beginning of all topic names.")
    partitions: int = Field(
        default=4,
        ge=1,
        le=10_000,
        description="Partitions of a new topic: the most workers that can share it.",
    )
    replication_factor: int = Field(
        default=1, ge=1, le=10, description="Copies of a new topic; 3 in production."
    )
    events_retention_hours: int = Field(
        default=72, ge=1, description="How long the broker keeps events, counted from their sending."
    )
    windows_retention_hours: int = Field(
        default=48,
        ge=1,
        description="How long it keeps window partials: detection looks back this far at most.",
    )
    rejected_retention_hours: int = Field(
        default=72, ge=1, description="How long it keeps dead letters, which may hold text of users."
    )
    max_message_bytes: int = Field(
        default=2 * MAX_RECORD_BYTES,
        ge=MAX_RECORD_BYTES + 1024,
        le=64 * MAX_RECORD_BYTES,
        description="Largest batch of records the broker takes, compressed.",
    )

    @field_validator("prefix")
    @classmethod
    def _allowed_by_kafka(cls, prefix: str) -> str:
        if _TOPIC_PREFIX.fullmatch(prefix) is None:
            raise ValueError("may hold letters, digits, dot, underscore and hyphen, at most 100")
        return prefix

    @property
    def events(self) -> str:
        """Topic of the events that applications send."""
        return f"{self.prefix}events"

    @property
    def windows(self) -> str:
        """Topic of the window partials, which detection reads."""
        return f"{self.prefix}windows"

    @property
    def anomalies(self) -> str:
        """Topic of the incidents; compacted."""
        return f"{self.prefix}anomalies"

    @property
    def rejected(self) -> str:
        """Topic of the dead letters."""
        return f"{self.prefix}rejected"


class WorkerSettings(_Group):
    """The stream worker."""

    group_id: str = Field(
        default="tokentide",
        min_length=1,
        max_length=200,
        description="Consumer group: workers with the same one share the partitions.",
    )
    stages: Annotated[tuple[Stage, ...], BeforeValidator(_listed)] = Field(
        default=("ingest", "detect"), min_length=1, description="What this worker does, with commas."
    )
    decoder: DecoderChoice = Field(
        default="auto",
        description="What decodes events: the native decoder where `tokentide-native` is installed (auto), it or nothing (native), or Python.",
    )
    checkpoint_seconds: float = Field(
        default=1.0, gt=0, le=60, description="Time between two checkpoints while little changes."
    )
    checkpoint_max_seconds: float = Field(
        default=5.0, gt=0, le=300, description="Longest time between two checkpoints while much changes."
    )
    checkpoint_rows: int = Field(
        default=50_000, ge=1, le=10_000_000, description="Events after which a checkpoint comes early."
    )
    event_rows_max_bytes: int = Field(
        default=33_554_432,
        ge=1_048_576,
        description="Event rows held back in memory while ClickHouse is slow or away.",
    )
    session_timeout_seconds: float = Field(
        default=10.0,
        ge=1,
        le=300,
        description="Silence after which the broker gives a worker's partitions away.",
    )
    heartbeat_seconds: float = Field(
        default=3.0,
        gt=0,
        le=100,
        description="Time between two signs of life; at most a third of the time-out.",
    )
    fetch_max_bytes: int = Field(
        default=52_428_800, ge=65_536, description="Most bytes of one answer of the broker."
    )
    fetch_max_partition_bytes: int = Field(
        default=2_097_152, ge=65_536, description="Most bytes per partition in such an answer."
    )
    fetch_max_wait_ms: int = Field(
        default=500, ge=1, le=60_000, description="How long the broker may wait for more before it answers."
    )
    stall_seconds: float = Field(
        default=60.0,
        ge=5,
        description="The process ends when something hangs for so long: what is waited for in seconds, what is computed in seconds of CPU. Being slow is no hang.",
    )
    metadata_refresh_seconds: float = Field(
        default=60.0,
        ge=1,
        le=600,
        description="How often Kafka is asked for new partitions, and whether the topic of events was made anew.",
    )

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.heartbeat_seconds * 3 > self.session_timeout_seconds:
            raise ValueError(
                f"heartbeat_seconds ({self.heartbeat_seconds:g}) may be at most a third of "
                f"session_timeout_seconds ({self.session_timeout_seconds:g})"
            )
        if self.checkpoint_max_seconds < self.checkpoint_seconds:
            raise ValueError(
                f"checkpoint_max_seconds ({self.checkpoint_max_seconds:g}) is below "
                f"checkpoint_seconds ({self.checkpoint_seconds:g})"
            )
        return self


class WindowSettings(_Group):
    """How calls are grouped."""

    dimensions: Names = Field(
        default=DEFAULT_DIMENSIONS,
        description=f"What makes a series, with commas; of {', '.join(DIMENSIONS)}.",
    )
    series_cap: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Series of a partition's open span (at most 65,536 offsets); further ones are counted together as "
        "`__other__`, and the metric `tokentide_series_overflows_total` counts them.",
    )

    @field_validator("dimensions")
    @classmethod
    def _known_and_in_order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for number, name in enumerate(names, 1):
            if name not in DIMENSIONS:
                raise ValueError(f"entry {number} is no dimension; there are {', '.join(DIMENSIONS)}")
        if len(set(names)) != len(names):
            raise ValueError("names a dimension twice")
        return tuple(name for name in DIMENSIONS if name in names)


class LimitSettings(_Group):
    """Which events are accepted."""

    event_age_days: int | None = Field(
        default=None,
        ge=1,
        description="Refuse events that finished longer ago; unset, so that old traces can be replayed.",
    )


class PriceSettings(_Group):
    """What calls cost."""

    overrides_file: File | None = Field(
        default=None, description="Own prices (YAML), which go before the price book."
    )


class ContentSettings(_Group):
    """What is stored of prompts and answers."""

    policy: ContentPolicy = Field(
        default="hash",
        description="`hash`: length and keyed hash; `keep`: also the redacted text, for the services "
        "named in `keep_services`; `none`: length only.",
    )
    keep_services: Names = Field(default=(), description="Services whose text is kept, with commas.")
    hash_key: SecretStr | None = Field(
        default=None, description="Key of the hash, 16 characters or more; without one no hash is stored."
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.policy == "keep" and not self.keep_services:
            raise ValueError("policy keep needs keep_services: text is kept for named services only")
        if self.policy != "keep" and self.keep_services:
            raise ValueError(f"keep_services has no effect with policy {self.policy}: set policy to keep")
        if self.hash_key is not None and len(self.hash_key.get_secret_value()) < 16:
            raise ValueError("hash_key is too short: at least 16 characters, such as `openssl rand -hex 32`")
        return self


class DeadLetterSettings(_Group):
    """What is kept of refused records, and when they are too many."""

    policy: DeadLetterPolicy = Field(
        default="full", description="`full`: the refused bytes; `hash`: only their size and SHA-256."
    )
    max_bytes: int = Field(
        default=262_144,
        ge=0,
        le=700_000,  # as base64 still within the record limit
        description="Bytes kept of one refused record; longer ones are cut and marked so.",
    )
    alarm_share: float = Field(
        default=0.01,
        gt=0,
        le=1,
        description="Share of refused events, of those of five minutes, above which the worker raises an alarm; "
        "1: never.",
    )
    alarm_run: int = Field(
        default=1000,
        ge=1,
        description="Refused events in a row on one partition from which it raises one.",
    )


class RetentionSettings(_Group):
    """How long ClickHouse keeps rows, counted from their storing; `tokentide init` applies it."""

    events_days: int = Field(default=90, ge=0, description="Single calls, in days; 0 keeps them for ever.")
    windows_days: int = Field(
        default=400, ge=0, description="Windows and incidents, in days; 0 keeps them for ever."
    )

    @model_validator(mode="after")
    def _windows_last_longest(self) -> Self:
        if self.windows_days and (self.events_days == 0 or self.events_days > self.windows_days):
            raise ValueError("windows_days must not be below events_days: the audit compares the two")
        return self


class SpoolSettings(_Group):
    """Where the SDK puts events while Kafka is away."""

    dir: File | None = Field(
        default=None, description="Folder of the spool; unset: one of its own in the user's cache folder."
    )
    max_bytes: int = Field(
        default=268_435_456, ge=0, description="Size of the spool; 0 switches it off and drops instead."
    )


class MetricsSettings(_Group):
    """The worker's own metrics, for Prometheus."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Port to listen on; unset: no server; 0: any free one. Several workers of `up` have this one and the next.",
    )
    allowed_hosts: Names = Field(
        default=(),
        description="Names that it is asked by, with commas, beside addresses, `localhost` and the machine's own name; `.example.org`: all "
        "names below it; `*`: any. Others get 403, since a web page could have pointed them here.",
    )

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for number, name in enumerate(names, 1):
            if _ALLOWED_HOST.fullmatch(name) is None:
                raise ValueError(
                    f"entry {number} is no host name, such as worker-1 or .svc.cluster.local (no scheme, no port), nor `*`"
                )
        return tuple(name.lower().rstrip(".") for name in names)


class LogSettings(_Group):
    """What the programs say."""

    format: LogFormat = Field(
        default="auto", description="`auto`: console on a terminal, JSON lines otherwise."
    )
    level: LogLevel = Field(default="info", description="The least important level that is written.")


class Settings(_Group):
    """All settings. Build it with `tokentide.config.load_settings`, or directly in tests."""

    disabled: bool = Field(default=False, description="The SDK sends nothing at all.")
    service: str | None = Field(
        default=None, description="Name of the application in the SDK's events; else `OTEL_SERVICE_NAME`."
    )
    environment: str | None = Field(
        default=None, description="Environment in the SDK's events; else OpenTelemetry's resource attribute."
    )
    region: str | None = Field(
        default=None, description="Region in the SDK's events; else OpenTelemetry's resource attribute."
    )
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    topics: TopicSettings = TopicSettings()
    worker: WorkerSettings = WorkerSettings()
    windows: WindowSettings = WindowSettings()
    limits: LimitSettings = LimitSettings()
    prices: PriceSettings = PriceSettings()
    content: ContentSettings = ContentSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    retention: RetentionSettings = RetentionSettings()
    spool: SpoolSettings = SpoolSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
