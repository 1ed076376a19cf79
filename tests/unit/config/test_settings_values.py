"""What the settings refuse, and that they cannot be changed afterwards."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tokentide.config import Settings, SettingsError, load_settings
from tokentide.config.catalogue import names_by_env, settings_by_name


def refusal(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={f"TOKENTIDE_{name}": value for name, value in variables.items()})
    return str(caught.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().topics.prefix = "other."  # type: ignore[misc]  # the test is that this fails


def test_topic_names_follow_the_prefix() -> None:
    topics = load_settings(environ={"TOKENTIDE_TOPICS_PREFIX": "prod.llm."}).topics
    assert (topics.events, topics.windows, topics.anomalies, topics.rejected) == (
        "prod.llm.events",
        "prod.llm.windows",
        "prod.llm.anomalies",
        "prod.llm.rejected",
    )


@pytest.mark.parametrize("prefix", ["a b", "a/b", "é", "x" * 101])
def test_a_prefix_that_kafka_would_refuse_is_refused(prefix: str) -> None:
    assert "may hold letters" in refusal(TOPICS_PREFIX=prefix)


@pytest.mark.parametrize(
    "servers",
    ["broker", "kafka://h:9092", "u:canary@h:9092", "h:0", "h:65536", "h:9092;g:9092"],
)
def test_a_broker_address_that_is_not_host_and_port_is_refused_without_repeating_it(servers: str) -> None:
    text = refusal(KAFKA_BOOTSTRAP_SERVERS=f"ok:1,{servers}")
    assert "entry 2 is not host:port" in text
    assert "canary" not in text


def test_no_broker_at_all_is_refused() -> None:
    assert "names no broker" in refusal(KAFKA_BOOTSTRAP_SERVERS=",")


def test_ipv6_brokers_are_accepted() -> None:
    settings = load_settings(environ={"TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": "[::1]:9092"})
    assert settings.kafka.bootstrap_servers == ("[::1]:9092",)


def test_a_login_needs_user_and_password() -> None:
    assert "needs sasl_username and sasl_password" in refusal(
        KAFKA_SECURITY_PROTOCOL="SASL_SSL", KAFKA_SASL_USERNAME="ann"
    )


def test_a_login_without_encryption_is_refused_unless_allowed() -> None:
    login = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "ann",
        "KAFKA_SASL_PASSWORD": "canary",
    }
    assert "sends the password unencrypted" in refusal(**login)
    allowed = {**login, "KAFKA_ALLOW_PLAINTEXT_SASL": "true"}
    settings = load_settings(environ={f"TOKENTIDE_{name}": value for name, value in allowed.items()})
    assert settings.kafka.uses_sasl
    assert not settings.kafka.uses_tls


def test_a_password_that_would_not_be_used_is_refused() -> None:
    assert "does not log in" in refusal(KAFKA_SASL_PASSWORD="canary")


def test_a_client_certificate_needs_its_key() -> None:
    assert "belong together" in refusal(KAFKA_TLS_CERT_FILE="/x.pem")


def test_heartbeats_must_fit_into_the_session() -> None:
    assert "at most a third" in refusal(WORKER_SESSION_TIMEOUT_SECONDS="6", WORKER_HEARTBEAT_SECONDS="2.1")


def test_checkpoint_times_must_be_in_order() -> None:
    assert "checkpoint_max_seconds (5) is below checkpoint_seconds (6)" in refusal(
        WORKER_CHECKPOINT_SECONDS="6"
    )


@pytest.mark.parametrize(
    ("names", "says"), [("service,modell", "entry 2 is no dimension"), ("model,model", "twice")]
)
def test_dimensions_are_known_and_named_once(names: str, says: str) -> None:
    assert says in refusal(WINDOWS_DIMENSIONS=names)


def test_text_is_kept_for_named_services_only() -> None:
    assert "needs keep_services" in refusal(CONTENT_POLICY="keep")
    assert "has no effect" in refusal(CONTENT_KEEP_SERVICES="chat")


@pytest.mark.parametrize(("events", "windows"), [("91", "90"), ("0", "90")])
def test_windows_are_kept_at_least_as_long_as_events(events: str, windows: str) -> None:
    assert "must not be below" in refusal(RETENTION_EVENTS_DAYS=events, RETENTION_WINDOWS_DAYS=windows)


def test_rows_can_be_kept_for_ever() -> None:
    environ = {"TOKENTIDE_RETENTION_EVENTS_DAYS": "0", "TOKENTIDE_RETENTION_WINDOWS_DAYS": "0"}
    assert load_settings(environ=environ).retention.windows_days == 0


def test_a_short_hash_key_is_refused_without_repeating_it() -> None:
    text = refusal(CONTENT_HASH_KEY="canary")
    assert "too short" in text
    assert "canary" not in text


def test_no_secret_has_a_default() -> None:
    secrets = [setting for setting in settings_by_name().values() if setting.is_secret]
    assert {setting.name for setting in secrets} == {
        "kafka.sasl_password",
        "kafka.tls_key_password",
        "content.hash_key",
    }
    assert all(setting.default is None for setting in secrets)


def test_every_setting_has_its_own_variable_and_a_meaning() -> None:
    assert len(names_by_env()) == len(settings_by_name())
    assert not [setting.name for setting in settings_by_name().values() if not setting.meaning.endswith(".")]


def test_the_names_that_others_rely_on_exist() -> None:
    assert names_by_env()["TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS"] == "kafka.bootstrap_servers"
    assert names_by_env()["TOKENTIDE_CLICKHOUSE_URL"] == "clickhouse.url"


def test_names_that_metrics_are_asked_by_are_written_small_and_without_port() -> None:
    def names(text: str) -> tuple[str, ...]:
        return load_settings(environ={"TOKENTIDE_METRICS_ALLOWED_HOSTS": text}).metrics.allowed_hosts

    assert names("Worker-1, .Svc.cluster.local.") == ("worker-1", ".svc.cluster.local")
    assert names("*") == ("*",)
    for wrong in ("worker-1:9100", "http://worker-1", "*.example.org", "a b", "[::1]"):
        with pytest.raises(SettingsError, match="entry 1 is no host name"):
            names(wrong)
