from __future__ import annotations

import pytest

from tokentide import MemoryTransport, Producer, ProducerOptions
from tokentide.config import SettingsError
from tokentide.producers.environment import read_environment


def test_an_empty_environment_means_one_machine():
    found = read_environment({})
    assert found.kafka.bootstrap_servers == ("127.0.0.1:9092",)
    assert found.topic == "llm.events"
    assert not found.is_disabled
    assert (found.service, found.environment, found.region) == (None, None, None)


def test_where_to_send_comes_from_the_settings_of_every_program(tmp_path):
    found = read_environment(
        {
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2",
            "TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "TOKENTIDE_KAFKA_SASL_USERNAME": "me",
            "TOKENTIDE_KAFKA_SASL_PASSWORD": "canary",
            "TOKENTIDE_TOPICS_PREFIX": "team.",
            "TOKENTIDE_SPOOL_DIR": str(tmp_path),
            "TOKENTIDE_SPOOL_MAX_BYTES": "1000000",
            "TOKENTIDE_DISABLED": "yes",
        }
    )
    assert found.kafka.bootstrap_servers == ("a:1", "b:2")
    assert found.kafka.uses_tls
    assert found.topic == "team.events"
    assert (found.spool_folder, found.spool_max_bytes) == (tmp_path, 1_000_000)
    assert found.is_disabled
    assert "canary" not in repr(found)


def test_a_misspelt_variable_is_an_error():
    with pytest.raises(SettingsError, match="TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS"):
        read_environment({"TOKENTIDE_KAFKA_BOOTSTRAP_SERVER": "a:1"})


def test_names_come_from_our_variables_and_else_from_opentelemetry_s():
    otel = {
        "OTEL_SERVICE_NAME": "otel-service",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=ignored, deployment.environment.name=pre%20prod,"
        "cloud.region=eu-west-1,broken,=x",
    }
    found = read_environment(otel)
    assert (found.service, found.environment, found.region) == ("otel-service", "pre prod", "eu-west-1")
    ours = {"TOKENTIDE_SERVICE": "shop", "TOKENTIDE_ENVIRONMENT": "production", "TOKENTIDE_REGION": "us"}
    found = read_environment({**otel, **ours})
    assert (found.service, found.environment, found.region) == ("shop", "production", "us")


def test_the_older_name_of_the_environment_is_understood():
    found = read_environment({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=old,service.name=s"})
    assert (found.environment, found.service) == ("old", "s")


def test_a_settings_file_in_the_working_folder_is_none_of_the_sdk_s_business(tmp_path, monkeypatch):
    (tmp_path / "tokentide.toml").write_text("nonsense = 1\n")
    monkeypatch.chdir(tmp_path)
    assert read_environment({}).topic == "llm.events"
    with pytest.raises(SettingsError):
        read_environment({"TOKENTIDE_CONFIG": str(tmp_path / "tokentide.toml")})


def test_a_producer_is_made_from_the_environment_and_arguments_go_before_it():
    environ = {"TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": "a:1", "TOKENTIDE_SERVICE": "shop"}
    producer = Producer.from_env(environ=environ, environment="staging")
    assert repr(producer) == "<Producer to llm.events at a:1>"
    assert dict(producer._encoder._defaults) == {"service": "shop", "environment": "staging"}
    other = Producer.from_env(environ=environ, service="other", options=ProducerOptions(linger_ms=5))
    assert dict(other._encoder._defaults) == {"service": "other"}


def test_the_environment_can_switch_it_off():
    assert repr(Producer.from_env(environ={"TOKENTIDE_DISABLED": "1"})).endswith("(disabled)>")


@pytest.mark.parametrize(
    ("text", "is_off"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("", False)]
)
def test_every_producer_can_be_switched_off_by_the_environment(monkeypatch, text, is_off):
    monkeypatch.setenv("TOKENTIDE_DISABLED", text)
    producer = Producer(service="s", transport=MemoryTransport())
    assert ("disabled" in repr(producer)) == is_off
