"""A planted secret is found nowhere that settings are written."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Mapping

import pytest
from pydantic import ValidationError

from tokentide.config import Settings, SettingsError, load_settings
from tokentide.config.catalogue import settings_by_name

CANARY = "c4nary-in-the-mine"
SECRETS: Mapping[str, str] = {
    "TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "TOKENTIDE_KAFKA_SASL_USERNAME": "ann",
    "TOKENTIDE_KAFKA_SASL_PASSWORD": CANARY,
    "TOKENTIDE_KAFKA_TLS_KEY_PASSWORD": CANARY,
    "TOKENTIDE_CONTENT_HASH_KEY": CANARY,
    "TOKENTIDE_CLICKHOUSE_URL": f"http://ann:{CANARY}@h:8123/db",
}


@pytest.fixture
def settings() -> Settings:
    return load_settings(environ=SECRETS)


def test_the_secrets_are_there_for_the_clients(settings: Settings) -> None:
    assert settings.kafka.sasl_password is not None
    assert settings.kafka.sasl_password.get_secret_value() == CANARY
    assert CANARY in settings.clickhouse.url.revealed()


@pytest.mark.parametrize(
    "written",
    [
        repr,
        str,
        lambda settings: settings.model_dump_json(),
        lambda settings: str(settings.model_dump()),
        lambda settings: str(settings.model_dump(mode="json")),
        lambda settings: repr(settings.clickhouse),
        lambda settings: str(vars(settings)),
    ],
)
def test_no_writing_of_the_settings_shows_a_secret(
    settings: Settings, written: Callable[[Settings], str]
) -> None:
    assert CANARY not in written(settings)


@pytest.mark.parametrize("name", list(settings_by_name()))
def test_no_error_repeats_a_secret_put_into_any_setting(name: str) -> None:
    """Whatever setting it lands in: either it is taken, or the error and its traceback keep it back."""
    try:
        load_settings(environ={}, flags={name: f"{CANARY}\n€"})
        said = ""
    except SettingsError as error:
        said = repr(error) + "".join(traceback.format_exception(error))
    assert "c4nary" not in said


def test_an_error_of_the_settings_has_no_cause_that_holds_the_values() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={}, flags={"topics.partitions": CANARY})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_settings_that_are_built_directly_repeat_no_value_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"topics": {"partitions": CANARY}})
    assert "c4nary" not in "".join(traceback.format_exception(caught.value))


def test_settings_survive_pickling_so_that_a_child_process_may_get_them(settings: Settings) -> None:
    assert pickle.loads(pickle.dumps(settings)) == settings
