from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tokentide.cli.arguments import moment
from tokentide.cli.commands.prices import money
from tokentide.cli.exits import ExitCode, UsageError
from tokentide.cli.main import main

pytest.importorskip("genai_prices", reason="needs the extra [stream]")

Capture = pytest.CaptureFixture[str]
OVERRIDES = """
prices:
  - provider: openai
    model: gpt-4o-*
    from: 2025-01-01
    until: 2025-07-01
    per_million_tokens: {input: "1.00", output: "3.00"}
  - model: house-model
    per_million_tokens: {input: "0", output: "0"}
    per_call: "0.0004"
"""


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "prices.yaml"
    file.write_text(OVERRIDES, encoding="utf-8")
    monkeypatch.setenv("TOKENTIDE_PRICES_OVERRIDES_FILE", str(file))
    return file


def asked(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, object]:
    assert main(["prices", *arguments, "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


def test_a_call_is_priced_exactly_at_its_date(capsys: Capture) -> None:
    # gpt-4o-mini: 0.15 USD a million tokens of input, 0.60 of output.
    answer = asked(capsys, "gpt-4o-mini", "--at", "2025-01-01", "--input", "1000", "--output", "200")
    assert Decimal(str(answer["cost_usd"])) == Decimal("0.15") / 1000 + Decimal("0.60") * 200 / 1_000_000
    assert str(answer["price_book"]).startswith("genai-prices ")


def test_tokens_that_are_not_given_are_none(capsys: Capture) -> None:
    answer = asked(capsys, "gpt-4o-mini", "--at", "2025-01-01", "--input", "1000")
    assert Decimal(str(answer["cost_usd"])) == Decimal("0.00015")


@pytest.mark.usefixtures("overrides")
@pytest.mark.parametrize(
    ("day", "price"), [("2024-12-31", "0.15"), ("2025-01-01", "1"), ("2025-07-01", "0.15")]
)
def test_own_prices_go_first_while_they_hold(capsys: Capture, day: str, price: str) -> None:
    answer = asked(capsys, "gpt-4o-mini", "--provider", "openai", "--at", day)
    bands = answer["usd_per_million_tokens"]
    assert isinstance(bands, list)
    assert [band["input"] for band in bands] == [price]


def test_changes_are_told_as_past_or_ahead(overrides: Path, capsys: Capture) -> None:
    overrides.write_text(OVERRIDES.replace("2025-07-01", "2999-07-01"), encoding="utf-8")
    for at in ("2024-12-31", "2025-01-01"):
        assert main(["prices", "gpt-4o-mini", "--provider", "openai", "--at", at]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[-2:] == ["prices changed on 2025-01-01", "prices change on 2999-07-01"]


def test_a_day_on_which_the_prices_stay_is_not_told(overrides: Path, capsys: Capture) -> None:
    same = 'per_million_tokens: {input: "1.00", output: "3.00"}'
    overrides.write_text(
        f"prices:\n  - {{model: m, until: 2025-01-01, {same}}}\n"
        f"  - {{model: m, from: 2025-01-01, until: 2025-07-01, {same}}}\n"
        f"  - {{model: m, from: 2025-07-01, per_million_tokens: {{input: '2', output: '3'}}}}\n",
        encoding="utf-8",
    )
    assert asked(capsys, "m")["changes"] == ["2025-07-01"]


@pytest.mark.usefixtures("overrides")
def test_a_charge_for_each_call_is_told(capsys: Capture) -> None:
    answer = asked(capsys, "house-model", "--input", "5", "--output", "5")
    assert Decimal(str(answer["cost_usd"])) == Decimal("0.0004")
    assert main(["prices", "house-model"]) == 0
    assert "0.0004 USD per call" in capsys.readouterr().out


def test_an_unknown_model_has_no_price_and_similar_names(capsys: Capture) -> None:
    assert asked(capsys, "gpt-4o-mni", code=1)["unpriced_reason"] == "unknown_model"
    assert main(["prices", "gpt-4o-mni"]) == ExitCode.NEGATIVE
    shown = capsys.readouterr().out
    assert "unpriced" in shown
    assert "openai gpt-4o-mini" in shown


def test_prices_of_long_prompts_are_rows_of_their_own(capsys: Capture) -> None:
    assert main(["prices", "claude-sonnet-4-5", "--provider", "anthropic", "--at", "2026-01-01"]) == 0
    shown = capsys.readouterr().out
    assert "shorter prompts" in shown
    assert "over 200,000 input tokens" in shown


@pytest.mark.usefixtures("overrides")
def test_without_a_model_the_books_are_named_in_order(capsys: Capture) -> None:
    versions = asked(capsys)["price_books"]
    assert isinstance(versions, list)
    assert [str(version).split()[0] for version in versions] == ["overrides", "genai-prices"]


@pytest.mark.usefixtures("overrides")
def test_own_prices_are_listed(capsys: Capture) -> None:
    assert main(["prices", "--overrides"]) == 0
    shown = capsys.readouterr().out
    assert "gpt-4o-*" in shown
    assert "input 1.00, output 3.00" in shown


def test_a_file_of_prices_is_checked_with_the_line_of_each_mistake(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text('prices:\n  - modle: x\n    per_million_tokens: {input: "1"}\n', encoding="utf-8")
    assert main(["prices", "--check", str(file)]) == ExitCode.NEGATIVE
    assert f"{file}:2:" in capsys.readouterr().out
    assert main(["prices", "--check", str(file), "--json"]) == ExitCode.NEGATIVE
    assert json.loads(capsys.readouterr().out)["problems"][0]["line"] == 2


def test_the_file_to_start_from_has_no_mistakes(tmp_path: Path, capsys: Capture) -> None:
    assert main(["prices", "--example"]) == 0
    file = tmp_path / "mine.yaml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["prices", "--check", str(file)]) == 0
    assert "3 prices" in capsys.readouterr().out


def test_a_file_without_mistakes_is_told_so(overrides: Path, capsys: Capture) -> None:
    assert main(["prices", "--check", str(overrides)]) == 0
    assert "no mistakes, 2 prices" in capsys.readouterr().out


def test_overrides_with_mistakes_price_nothing(overrides: Path, capsys: Capture) -> None:
    overrides.write_text("prices: 5\n", encoding="utf-8")
    assert main(["prices", "gpt-4o"]) == ExitCode.USAGE
    assert str(overrides) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2025-01-31", datetime(2025, 1, 31, tzinfo=UTC)),
        ("2025-01-31T12:00:00+02:00", datetime(2025, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_date_is_midnight_in_utc(text: str, at: datetime) -> None:
    assert moment(text, "--at") == at


def test_what_is_no_date_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="--at is a date"):
        moment("yesterday", "--at")


@pytest.mark.parametrize(
    ("amount", "text"), [("2.5", "2.50"), ("10", "10.00"), ("0.000270", "0.00027"), ("1E-7", "0.0000001")]
)
def test_money_has_two_decimals_and_more_where_it_needs_them(amount: str, text: str) -> None:
    assert money(Decimal(amount)) == text
