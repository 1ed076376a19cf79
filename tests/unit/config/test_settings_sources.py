"""Which source wins, and what each refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tokentide.config import Loaded, SettingsError, load
from tokentide.config.catalogue import names_by_env
from tokentide.config.sources import _LINK_NAME


def loaded(
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    toml: str | None = None,
) -> Loaded:
    if toml is not None:
        (folder / "tokentide.toml").write_text(toml, encoding="utf-8")
    return load(environ=environ or {}, flags=flags, folder=folder)


def problems(folder: Path, **given: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, **given)  # type: ignore[arg-type]  # the keywords of `loaded`
    return [f"{problem.where}: {problem.text}" for problem in caught.value.problems]


def test_flags_go_before_the_environment_before_the_file_before_defaults(tmp_path: Path) -> None:
    toml = '[topics]\nprefix = "file."\npartitions = 7\n[worker]\ngroup_id = "file"\n'
    environ = {"TOKENTIDE_TOPICS_PREFIX": "env.", "TOKENTIDE_WORKER_GROUP_ID": "env"}
    result = loaded(tmp_path, toml=toml, environ=environ, flags={"topics.prefix": "flag."})

    settings = result.settings
    assert settings.topics.prefix == "flag."
    assert settings.worker.group_id == "env"
    assert settings.topics.partitions == 7
    assert settings.topics.replication_factor == 1
    names = ("topics.prefix", "worker.group_id", "topics.partitions", "topics.replication_factor")
    assert [result.origins[name].kind for name in names] == ["flag", "environment", "file", "default"]
    assert result.origins["worker.group_id"].where == "TOKENTIDE_WORKER_GROUP_ID"
    assert result.origins["topics.partitions"].where == f"{tmp_path / 'tokentide.toml'}: topics.partitions"


def test_a_flag_that_was_not_given_hides_nothing(tmp_path: Path) -> None:
    result = loaded(tmp_path, environ={"TOKENTIDE_TOPICS_PREFIX": "env."}, flags={"topics.prefix": None})
    assert result.settings.topics.prefix == "env."


def test_the_file_of_the_variable_goes_before_the_one_in_the_folder(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('topics.prefix = "other."\n', encoding="utf-8")
    result = loaded(tmp_path, toml='topics.prefix = "usual."\n', environ={"TOKENTIDE_CONFIG": str(other)})
    assert (result.settings.topics.prefix, result.file) == ("other.", other)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(environ={}, config_file=missing)
    assert problems(tmp_path, environ={"TOKENTIDE_CONFIG": str(missing)})[0].startswith(str(missing))


def test_a_misspelt_variable_is_an_error_that_names_the_right_one(tmp_path: Path) -> None:
    assert problems(tmp_path, environ={"TOKENTIDE_KAFKA_BOOTSTRAP_SERVER": "h:1"}) == [
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVER: no such setting; did you mean TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS?"
    ]


def test_a_variable_like_none_we_know_points_to_the_list(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, environ={"TOKENTIDE_XYZZY": "1"})
    assert problem == "TOKENTIDE_XYZZY: no such setting; `tokentide doctor --settings` lists all"


def test_a_misspelt_name_in_the_file_is_an_error_that_names_file_and_right_name(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, toml='[kafak]\nbootstrap_servers = "h:1"\n')
    assert problem.startswith(f"{tmp_path / 'tokentide.toml'}: kafak.bootstrap_servers: no such setting")
    assert problem.endswith("did you mean kafka.bootstrap_servers?")


def test_a_misspelt_flag_is_an_error_that_names_the_right_one(tmp_path: Path) -> None:
    assert problems(tmp_path, flags={"topic.prefix": "x"}) == [
        "--set topic.prefix: no such setting; did you mean topics.prefix?"
    ]


def test_hyphens_and_capitals_are_near_misses(tmp_path: Path) -> None:
    assert "did you mean worker.group_id?" in problems(tmp_path, flags={"Worker.Group-Id": "x"})[0]


def test_a_group_given_as_a_value_is_told_apart_from_an_unknown_name(tmp_path: Path) -> None:
    assert "is a group of settings: write a table, [kafka]" in problems(tmp_path, toml='kafka = "h:1"\n')[0]


def test_all_problems_of_all_sources_are_reported_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        toml='[log]\nformat = "jsn"\n',
        environ={"TOKENTIDE_LOG_LEVL": "info", "TOKENTIDE_TOPICS_PARTITIONS": "many"},
        flags={"windows.series_cap": "0"},
    )
    assert found == [
        "TOKENTIDE_LOG_LEVL: no such setting; did you mean TOKENTIDE_LOG_LEVEL?",
        "TOKENTIDE_TOPICS_PARTITIONS: must be a whole number (given: text of 4 characters)",
        "--set windows.series_cap: must be 1 or more (given: text of 1 character)",
        f"{tmp_path / 'tokentide.toml'}: log.format: must be one of auto, console, json; did you mean json?",
    ]


def test_a_broken_file_is_an_error_with_the_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, toml="[kafka\n")
    assert "is not TOML" in problem
    assert "line 1" in problem


def test_a_file_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tokentide.toml").write_bytes(b'[kafka]\nclient_id = "\xff"\n')
    assert problems(tmp_path) == [f"{tmp_path / 'tokentide.toml'}: is not UTF-8 text"]


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    result = loaded(tmp_path, environ={"TOKENTIDE_METRICS_PORT": "", "TOKENTIDE_TOPICS_PREFIX": " "})
    assert result.settings.metrics.port is None
    assert result.settings.topics.prefix == "llm."


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOKENTIDE_SERVICE_HOST", "10.0.0.1"),
        ("TOKENTIDE_SERVICE_PORT", "9100"),
        ("TOKENTIDE_METRICS_SERVICE_PORT_HTTP", "9100"),
        ("TOKENTIDE_PORT", "tcp://10.0.0.1:9100"),
        ("TOKENTIDE_PORT_9100_TCP", "tcp://10.0.0.1:9100"),
        ("TOKENTIDE_PORT_9100_TCP_ADDR", "10.0.0.1"),
        ("TOKENTIDE_METRICS_PORT", "tcp://10.0.0.1:9100"),
    ],
)
def test_what_kubernetes_injects_for_a_service_of_our_name_is_no_setting(
    tmp_path: Path, variable: str, value: str
) -> None:
    assert loaded(tmp_path, environ={variable: value}).settings.metrics.port is None


def test_an_address_that_only_looks_like_a_service_link_is_not_left_out(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, environ={"TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": "tcp://h:9092"})
    assert "entry 1 is not host:port" in problem


def test_no_setting_has_a_name_like_a_service_link() -> None:
    assert not [name for name in names_by_env() if _LINK_NAME.fullmatch(name)]


@pytest.mark.parametrize("variable", ["TOKENTIDE_PORT", "TOKENTIDE_METRICS_PORTS", "TOKENTIDE_HOST"])
def test_a_port_of_our_own_that_does_not_exist_is_no_service_link(tmp_path: Path, variable: str) -> None:
    assert "no such setting" in problems(tmp_path, environ={variable: "9100"})[0]


def test_variables_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    loaded(tmp_path, environ={"PATH": "/bin", "KAFKA_HOME": "/x", "TOKENTIDEX": "1"})


def test_lists_are_written_with_commas_in_variables_and_as_lists_in_the_file(tmp_path: Path) -> None:
    environ = {"TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": " a:1, b:2 ,"}
    result = loaded(tmp_path, environ=environ, toml='windows.dimensions = ["model", "service"]\n')
    assert result.settings.kafka.bootstrap_servers == ("a:1", "b:2")
    assert result.settings.windows.dimensions == ("service", "model")


def test_paths_in_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    result = loaded(tmp_path, toml='prices.overrides_file = "own.yaml"\nspool.dir = "/var/spool"\n')
    assert result.settings.prices.overrides_file == tmp_path / "own.yaml"
    assert result.settings.spool.dir == Path("/var/spool")


def test_a_tilde_means_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    result = loaded(
        tmp_path, environ={"TOKENTIDE_SPOOL_DIR": "~/spool"}, toml='prices.overrides_file="~/p"\n'
    )
    assert result.settings.spool.dir == Path("/home/ann/spool")
    assert result.settings.prices.overrides_file == Path("/home/ann/p")
