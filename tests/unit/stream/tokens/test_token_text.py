"""A text is counted exactly, and no text is too strange to be counted."""

from __future__ import annotations

import pytest

from tokentide.stream.tokens import EncodingName, TokenCount, TokenMemory, count_text, encoding, text
from tokentide.stream.tokens.text import MAX_PIECE_CHARS, encode_count


class PanicException(BaseException):
    """Named as the class that a panic of tiktoken's core arrives as."""


class PanickingEncoder:
    def encode_ordinary(self, text: str) -> list[int]:
        raise PanicException(f"StackOverflow on {len(text)} characters")


class InterruptedEncoder:
    def encode_ordinary(self, text: str) -> list[int]:
        raise KeyboardInterrupt(len(text))


def test_a_text_has_the_tokens_of_its_model() -> None:
    assert count_text("tokentide", "gpt-4o") == TokenCount(3, "counted", "o200k_base")
    assert count_text("", "gpt-4o").tokens == 0


def test_special_tokens_in_a_text_are_plain_text() -> None:
    assert count_text("<|endoftext|>", "gpt-4o") == TokenCount(7, "counted", "o200k_base")


@pytest.mark.parametrize(
    ("model", "tokens"), [("claude-3-5-sonnet-20240620", 12), ("mistral-tiny", 13), ("gemini-2.5-flash", 10)]
)
def test_a_model_without_public_tokenizer_is_estimated_by_its_factor(model: str, tokens: int) -> None:
    ten = "one two three four five six seven eight nine ten"
    assert count_text(ten, "gpt-4o").tokens == 10
    assert count_text(ten, model) == TokenCount(tokens, "estimated", "o200k_base")


def test_an_unknown_or_absent_model_is_estimated() -> None:
    assert count_text("hello", "house-model").source == "estimated"
    assert count_text("hello", None).source == "estimated"


@pytest.mark.parametrize("odd", ["\ud800", "a\udfffb", "\ud83d\ude00", "\x00", "\u202e", "e\u0301" * 50])
def test_text_that_is_no_valid_unicode_is_counted(odd: str) -> None:
    assert count_text(odd, "gpt-4o").tokens > 0
    assert count_text(odd * 100, "gpt-4o", memory=TokenMemory()).tokens > 0


@pytest.mark.parametrize("run", [" ", "\t", "\n", "\u3000", "a", "A", "^", "中", "😀", "1", "/", "\u0301"])
def test_a_million_equal_characters_are_counted(run: str) -> None:
    counted = count_text(run * 1_000_000, "gpt-4o")
    short = count_text(run * 100_000, "gpt-4o")
    assert counted.source == "estimated"
    assert short.source == "counted"
    assert counted.tokens == pytest.approx(short.tokens * 10, rel=0.05, abs=12)


def test_a_long_text_with_lines_is_counted_exactly_in_pieces() -> None:
    lines = "".join(f"Line {number}: it's a long one…\n" for number in range(12_000))
    assert len(lines) > MAX_PIECE_CHARS
    whole = len(encoding("o200k_base").encode_ordinary(lines))
    assert count_text(lines, "gpt-4o") == TokenCount(whole, "counted", "o200k_base")


def test_a_long_text_without_any_boundary_is_an_estimate() -> None:
    counted = encode_count("x" * 50, encoding("o200k_base"), max_piece_chars=20)
    assert not counted.is_exact


def test_a_panic_of_the_tokenizer_becomes_an_estimate() -> None:
    assert encode_count("four" * 10, PanickingEncoder()) == (10, False)


def test_anything_else_that_is_raised_goes_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        encode_count("text", InterruptedEncoder())


def test_a_remembered_count_keeps_its_certainty(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = TokenMemory()
    exact, cut = "so " * 100, "\t" * 900_000
    first = [count_text(exact, "gpt-4o", memory=memory), count_text(cut, "gpt-4o", memory=memory)]
    monkeypatch.setattr(text, "encode_count", lambda *_: pytest.fail("counted again"))
    again = [count_text(exact, "gpt-4o", memory=memory), count_text(cut, "gpt-4o", memory=memory)]
    assert first == again
    assert [count.source for count in again] == ["counted", "estimated"]


def test_encodings_do_not_share_remembered_counts() -> None:
    memory = TokenMemory()
    words = "Überraschungsmomente " * 20
    counts = [count_text(words, model, memory=memory).tokens for model in ("gpt-4o", "gpt-4")]
    assert counts == [count_text(words, model).tokens for model in ("gpt-4o", "gpt-4")]
    assert counts[0] != counts[1]


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base", "p50k_base"])
@pytest.mark.parametrize("around", ["\n\n", " \n", "\n ", "\n/", "!\n", "\r\n", "\n'", "\n\u0301"])
@pytest.mark.parametrize("max_piece_chars", range(4, 12))
def test_a_cut_that_could_split_a_token_is_never_called_exact(
    name: EncodingName, around: str, max_piece_chars: int
) -> None:
    lines = f"word{around}Word{around}word!{around}9"
    counted = encode_count(lines, encoding(name), max_piece_chars=max_piece_chars)
    if counted.is_exact:
        assert counted.tokens == len(encoding(name).encode_ordinary(lines))
