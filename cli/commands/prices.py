"""`tokentide prices`: what a model costs, and the check of one's own prices."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokentide.cli.arguments import add_settings_arguments, moment, settings_from
from tokentide.cli.exits import ExitCode, UsageError
from tokentide.cli.extras import require_extra
from tokentide.cli.registry import Example
from tokentide.cli.terminal import counted, print_json, table, toned

if TYPE_CHECKING:
    from tokentide.cli.price_lookup import Answer, Question
    from tokentide.stream.pricing import OverrideBook, Rate

DESCRIPTION = """Look up what a model costs at a date, as a worker would: your own prices first, then the price book.

Without a model: which book and which overrides are in use. --example prints a file of own prices to start
from; --check reads such a file and names every mistake with its line.
Exit code 0: priced, or without mistakes; 1: no price, or mistakes."""
EXAMPLES = (
    Example("tokentide prices gpt-4o-mini", "Today's prices."),
    Example(
        "tokentide prices gpt-4o-mini --at 2025-01-01 --input 1000 --output 200", "What did this call cost?"
    ),
    Example("tokentide prices --example > my-prices.yaml", "Begin a file of your own prices."),
    Example("tokentide prices --check my-prices.yaml", "Are they right?"),
)
_COUNTS: Final = {
    "input": ("input_tokens", "input tokens, cached ones included"),
    "output": ("output_tokens", "output tokens, reasoning included"),
    "cache_read": ("cache_read", "of the input, tokens read from the cache"),
    "cache_write": ("cache_write", "of the input, tokens written to the cache"),
    "cache_write_1h": ("cache_write_1h", "of these, tokens written for one hour"),
    "reasoning": ("reasoning", "of the output, tokens of reasoning"),
}

EXAMPLE_FILE: Final = """\
# Own prices, in USD; name this file in the setting prices.overrides_file.
# The first entry that fits provider, model, tier and date wins; where none does, the price book counts.
prices:
  # Agreed with the provider, for half a year. `*` stands for anything.
  - provider: openai
    model: gpt-4o-*
    from: 2026-01-01 # first day, UTC
    until: 2026-07-01 # first day on which it no longer holds
    per_million_tokens:
      input: "2.00"
      output: "8.00"
      cache_read: "1.00" # what is left out is charged as its whole: reasoning as output
    above_input_tokens: # longer prompts: the whole call pays this price
      200000: { input: "4.00", output: "12.00" }
  # A deployment with a charge per call, shown as gpt-4-ptu.
  - provider: azure
    model: prod-chat
    name: gpt-4-ptu
    per_million_tokens: { input: "0", output: "0" }
    per_call: "0.0004"
  # Self-hosted: tokens cost nothing, the host does (`infra_cost_usd` of the events).
  - provider: vllm
    model: llama-3-*
    infra: true
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="model as events name it")
    parser.add_argument("--provider", metavar="NAME", help="provider as events name it")
    parser.add_argument("--tier", metavar="NAME", help="service tier: batch, flex, priority, …")
    parser.add_argument("--at", metavar="DATE", help="date or time, UTC unless it has a zone (default: now)")
    for name, (_, text) in _COUNTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=text)
    parser.add_argument(
        "--check", type=Path, metavar="FILE", help="read a file of overrides and name its mistakes"
    )
    parser.add_argument("--example", action="store_true", help="print a file of own prices to start from")
    parser.add_argument("--overrides", action="store_true", help="list the overrides in use")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    add_settings_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Look up, list or check."""
    if args.example:
        print(EXAMPLE_FILE, end="")
        return ExitCode.OK
    require_extra("stream", purpose="`tokentide prices`")
    if args.check is not None:
        return _check(args.check, as_json=args.json)
    overrides = settings_from(args).prices.overrides_file
    if args.overrides:
        return _list(overrides, as_json=args.json)
    if args.model is None:
        return _versions(overrides, as_json=args.json)
    return _look_up(args, overrides)


def _look_up(args: argparse.Namespace, overrides: Path | None) -> int:
    from tokentide.cli.price_lookup import Question, ask, price_books  # noqa: PLC0415 - needs the extra
    from tokentide.stream.pricing import PriceKey, Rate, Usage  # noqa: PLC0415 - needs the extra

    counts = {
        field: value for name, (field, _) in _COUNTS.items() if (value := getattr(args, name)) is not None
    }
    if any(value < 0 for value in counts.values()):
        raise UsageError("numbers of tokens are 0 or more")
    if counts:
        counts = {"input_tokens": 0, "output_tokens": 0, **counts}
    question = Question(
        key=PriceKey(args.provider, args.model, None, args.tier),
        at=datetime.now(UTC) if args.at is None else moment(args.at, "--at"),
        usage=Usage(**counts) if counts else None,
    )
    answer = ask(question, price_books(overrides))
    found = isinstance(answer.rate, Rate) and (answer.cost is None or answer.cost.cost_usd is not None)
    if args.json:
        print_json(_as_json(question, answer))
    else:
        _print(question, answer)
    return ExitCode.OK if found else ExitCode.NEGATIVE


def _print(question: Question, answer: Answer) -> None:
    from tokentide.cli.price_lookup import notes_of  # noqa: PLC0415 - needs the extra
    from tokentide.stream.pricing import Rate  # noqa: PLC0415 - needs the extra

    day = f"{question.at:%Y-%m-%d}"
    if not isinstance(answer.rate, Rate):
        print(f"{toned('unpriced', 'red')} on {day}: {answer.rate.label}")
        _suggest(question.key.response_model or "")
        return
    rate = answer.rate
    print(f"{toned(rate.model, 'bold')} at {rate.provider} on {day}, from {rate.book}")
    for note in notes_of(rate.note):
        print(toned(f"note: {note}", "yellow"))
    _print_bands(rate)
    _print_changes(answer)
    if answer.cost is not None:
        cost = answer.cost.cost_usd
        print(
            f"this call: {toned(f'{money(cost)} USD', 'bold')}"
            if cost is not None
            else f"this call: {toned('unpriced', 'red')}, {answer.cost.reason.label}"
        )


def _print_changes(answer: Answer) -> None:
    now = datetime.now(UTC)
    past = [f"{change:%Y-%m-%d}" for change in answer.changes if change <= now]
    ahead = [f"{change:%Y-%m-%d}" for change in answer.changes if change > now]
    for verb, days in (("changed", past), ("change", ahead)):
        if days:
            print(f"prices {verb} on {', '.join(days)}")


def money(amount: Decimal) -> str:
    """USD with at least two and at most twelve decimals."""
    whole, _, fraction = format(amount, "f").partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def _print_bands(rate: Rate) -> None:
    from tokentide.cli.price_lookup import per_call, per_million  # noqa: PLC0415 - needs the extra

    kinds = list(dict.fromkeys(name for band in rate.bands for name, _ in per_million(band)))
    rows = []
    for band in rate.bands:
        prices = dict(per_million(band))
        label = "any prompt" if len(rate.bands) == 1 else _above(band.above)
        rows.append([label, *(_shown(prices.get(kind)) for kind in kinds)])
        if fixed := per_call(band):
            print(f"{money(fixed)} USD per call")
    print(table(("USD per million tokens", *kinds), rows))


def _above(tokens: int) -> str:
    return "shorter prompts" if tokens < 0 else f"over {tokens:,} input tokens"


def _shown(price: Decimal | None) -> str | None:
    return None if price is None else money(price)


def _suggest(model: str) -> None:
    from tokentide.cli.price_lookup import similar_models  # noqa: PLC0415 - needs the extra

    similar = similar_models(model)
    if similar:
        print("Similar names in the price book: " + "; ".join(similar))
    print("Give it a price of your own in the file of prices.overrides_file.")


def _as_json(question: Question, answer: Answer) -> dict[str, object]:
    from tokentide.cli.price_lookup import notes_of, per_call, per_million  # noqa: PLC0415 - needs the extra
    from tokentide.stream.pricing import Rate  # noqa: PLC0415 - needs the extra

    result: dict[str, object] = {"asked": question.key._asdict(), "at": question.at}
    if isinstance(answer.rate, Rate):
        rate = answer.rate
        result |= {
            "model": rate.model,
            "provider": rate.provider,
            "price_book": rate.book,
            "notes": notes_of(rate.note),
            "usd_per_million_tokens": [
                {
                    "above_input_tokens": max(0, band.above),
                    **{name.replace(" ", "_"): price for name, price in per_million(band)},
                    **({"per_call": fixed} if (fixed := per_call(band)) else {}),
                }
                for band in rate.bands
            ],
            "changes": [f"{change:%Y-%m-%d}" for change in answer.changes],
        }
    else:
        result["unpriced_reason"] = answer.rate.label
    if answer.cost is not None:
        result["cost_usd"] = answer.cost.cost_usd
        result |= {"unpriced_reason": answer.cost.reason.label} if answer.cost.reason else {}
    return result


def _versions(overrides: Path | None, *, as_json: bool) -> int:
    from tokentide.cli.price_lookup import price_books  # noqa: PLC0415 - needs the extra

    versions = [book.version for book in price_books(overrides)]
    if as_json:
        print_json({"price_books": versions, "overrides_file": str(overrides) if overrides else None})
    else:
        print("price books, in the order in which they are asked: " + ", ".join(versions))
        if overrides is None:
            print("no prices of your own (prices.overrides_file)")
    return ExitCode.OK


def _list(overrides: Path | None, *, as_json: bool) -> int:
    from tokentide.cli.price_lookup import load_overrides  # noqa: PLC0415 - needs the extra
    from tokentide.stream.pricing import PriceFileError  # noqa: PLC0415 - needs the extra

    if overrides is None:
        print_json([]) if as_json else print("no prices of your own (prices.overrides_file)")
        return ExitCode.OK
    try:
        book = load_overrides(overrides)
    except PriceFileError as error:
        return _mistakes(error, as_json=as_json)
    _print_overrides(book, as_json=as_json)
    return ExitCode.OK


def _print_overrides(book: OverrideBook, *, as_json: bool) -> None:
    entries = [
        {
            "provider": entry.provider,
            "model": entry.model,
            "service_tier": entry.service_tier,
            "from": entry.first_day,
            "until": entry.end_day,
            "per_million_tokens": entry.per_million,
            "per_call": entry.per_call,
        }
        for entry in book.entries
    ]
    if as_json:
        print_json(entries)
        return
    rows = [
        (
            entry.provider or "any",
            entry.model,
            entry.service_tier or "any",
            entry.first_day or "always",
            entry.end_day or "never",
            ", ".join(f"{kind} {price}" for kind, price in (entry.per_million or {}).items())
            or "host's cost only",
        )
        for entry in book.entries
    ]
    print(table(("provider", "model", "tier", "from", "until", "USD per million tokens"), rows))


def _check(path: Path, *, as_json: bool) -> int:
    from tokentide.cli.price_lookup import load_overrides  # noqa: PLC0415 - needs the extra
    from tokentide.stream.pricing import PriceFileError  # noqa: PLC0415 - needs the extra

    try:
        book = load_overrides(path)
    except PriceFileError as error:
        return _mistakes(error, as_json=as_json)
    if as_json:
        print_json({"valid": True, "version": book.version, "problems": []})
    else:
        print(f"{path}: no mistakes, {counted(len(book.entries), 'price')}, {book.version}")
    return ExitCode.OK


def _mistakes(error: Exception, *, as_json: bool) -> int:
    if as_json:
        print_json(
            {"valid": False, "problems": [problem._asdict() for problem in getattr(error, "problems", ())]}
        )
    else:
        print(error)
    return ExitCode.NEGATIVE
