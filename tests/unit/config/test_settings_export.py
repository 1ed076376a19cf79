from __future__ import annotations

import os
from pathlib import Path

import pytest

from tokentide.config import SettingsError, as_environment, load, load_settings
from tokentide.config.catalogue import settings_by_name

TOML = """
[kafka]
bootstrap_servers = ["a:1", "b:2"]
security_protocol = "SASL_SSL"
sasl_username = "ann"
sasl_password = "p w,€"
tls_check_hostname = false

[clickhouse]
url = "https://ann:p%40w@db:8443/metrics"

[worker]
checkpoint_seconds = 0.5
stages = ["ingest"]

[windows]
dimensions = ["service", "model"]

[content]
hash_key = "0123456789abcdef"

[prices]
overrides_file = "own.yaml"
"""


def test_a_child_gets_the_same_settings_through_its_environment(tmp_path: Path) -> None:
    (tmp_path / "tokentide.toml").write_text(TOML, encoding="utf-8")
    loaded = load(environ={}, folder=tmp_path)
    given = [name for name, origin in loaded.origins.items() if origin.kind != "default"]
    environ = {**as_environment(loaded.settings, given), "TOKENTIDE_CONFIG": os.devnull}
    assert load_settings(environ=environ, folder=tmp_path) == loaded.settings


def test_all_defaults_can_be_given_as_well() -> None:
    settings = load_settings(environ={}, folder=Path("/nonexistent"))
    assert load_settings(environ=as_environment(settings, settings_by_name())) == settings


def test_a_group_can_be_left_out_of_every_source(tmp_path: Path) -> None:
    (tmp_path / "tokentide.toml").write_text(TOML, encoding="utf-8")
    loaded = load(
        environ={"TOKENTIDE_KAFKA_CLIENT_ID": "x", "TOKENTIDE_WORKER_GROUP_ID": "g"},
        folder=tmp_path,
        without=("kafka", "clickhouse"),
    )
    defaults = load_settings(environ={}, folder=Path("/nonexistent"))
    assert loaded.settings.kafka == defaults.kafka
    assert loaded.settings.clickhouse == defaults.clickhouse
    assert (loaded.settings.worker.group_id, loaded.settings.worker.stages) == ("g", ("ingest",))
    assert loaded.origins["kafka.client_id"].kind == "default"


def test_a_misspelt_name_of_a_group_left_out_is_still_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TOKENTIDE_KAFKA_CLIENT_ID"):
        load(environ={"TOKENTIDE_KAFKA_CLIENT_IT": "x"}, folder=tmp_path, without=("kafka",))
