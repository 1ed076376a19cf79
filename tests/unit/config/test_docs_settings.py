"""docs/settings.md against the settings themselves."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tokentide.cli.reference import with_generated
from tokentide.config import load
from tokentide.config.catalogue import names_by_env, settings_by_name
from tokentide.config.reference import settings_markdown, shown_default


def test_the_page_is_what_the_program_generates(repository: Path) -> None:
    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == with_generated(page, settings_markdown()), (
        "run: python -m tokentide.cli.reference docs"
    )  # fmt: skip


def test_every_setting_is_on_the_page_with_variable_and_default(repository: Path) -> None:
    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    for setting in settings_by_name().values():
        field = setting.name.rpartition(".")[2]
        default = shown_default(setting)
        shown = f"`{default}`" if default else "unset"
        assert f"| `{field}` | `{setting.env}` | {shown} |" in page


def test_the_examples_of_the_page_are_valid(repository: Path, tmp_path: Path) -> None:
    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    assert tomllib.loads(example)
    (tmp_path / "tokentide.toml").write_text(example, encoding="utf-8")
    assert load(environ={}, folder=tmp_path).settings.windows.dimensions[-1] == "tenant"


def test_every_variable_that_the_page_names_exists_or_is_named_as_wrong(repository: Path) -> None:
    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    known = {*names_by_env(), "TOKENTIDE_CONFIG"}
    wrong_on_purpose = {"TOKENTIDE_KAFKA_BOOTSTRAP_SERVER", "TOKENTIDE_SERVICE_HOST", "TOKENTIDE_"}
    assert set(re.findall(r"\bTOKENTIDE_[A-Z_]*", page)) - known <= wrong_on_purpose


def test_defaults_are_shown_as_one_would_write_them() -> None:
    written = {
        setting.env: default for setting in settings_by_name().values() if (default := shown_default(setting))
    }
    loaded = load(environ=written, folder=Path("/nonexistent"))
    assert loaded.settings == load(environ={}, folder=Path("/nonexistent")).settings
