"""Settings: one frozen object from flags, environment, file and defaults. See docs/settings.md.

    from tokentide.config import load_settings

    settings = load_settings()                  # TOKENTIDE_*, ./tokentide.toml, defaults
    settings.kafka.bootstrap_servers            # ("127.0.0.1:9092",)

Needs the base install only.
"""

from tokentide.config.clickhouse_url import ClickHouseUrl, parse_clickhouse_url
from tokentide.config.export import as_environment
from tokentide.config.kafka import client_arguments, security_arguments, ssl_context
from tokentide.config.load import Loaded, load, load_settings
from tokentide.config.settings import (
    ClickHouseSettings,
    ContentSettings,
    DeadLetterSettings,
    KafkaSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    PriceSettings,
    RetentionSettings,
    Settings,
    SpoolSettings,
    TopicSettings,
    WindowSettings,
    WorkerSettings,
)
from tokentide.config.sources import Origin
from tokentide.errors import SettingProblem, SettingsError

__all__ = [
    "ClickHouseSettings",
    "ClickHouseUrl",
    "ContentSettings",
    "DeadLetterSettings",
    "KafkaSettings",
    "LimitSettings",
    "Loaded",
    "LogSettings",
    "MetricsSettings",
    "Origin",
    "PriceSettings",
    "RetentionSettings",
    "SettingProblem",
    "Settings",
    "SettingsError",
    "SpoolSettings",
    "TopicSettings",
    "WindowSettings",
    "WorkerSettings",
    "as_environment",
    "client_arguments",
    "load",
    "load_settings",
    "parse_clickhouse_url",
    "security_arguments",
    "ssl_context",
]
