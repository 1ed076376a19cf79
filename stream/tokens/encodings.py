"""`tiktoken.Encoding` objects, built from the bundled rank files and tiktoken's own definitions.

Owns: which encodings can be had, and that each is built once per process. Pattern, special tokens and the
SHA-256 of the ranks are taken from `tiktoken_ext.openai_public`, not copied: its constructor functions run
here with one global exchanged, the loader that would download. The foreign module itself is left as it is,
so an application that uses tiktoken in the same process notices nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Final, Literal, TypedDict, cast

import tiktoken
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # a namespace package without py.typed

from tokentide.stream.tokens.ranks import RankFileError, load_ranks

EncodingName = Literal["o200k_base", "cl100k_base", "p50k_base", "p50k_edit", "r50k_base"]

RankLoader = Callable[[str, str | None], dict[bytes, int]]

_LOADER: Final = "load_tiktoken_bpe"
_built: dict[str, tiktoken.Encoding] = {}
_building = threading.Lock()


class Definition(TypedDict, total=False):
    """What tiktoken says an encoding is: the keyword arguments of `tiktoken.Encoding`."""

    name: str
    pat_str: str
    mergeable_ranks: dict[bytes, int]
    special_tokens: dict[str, int]
    explicit_n_vocab: int


def encoding(name: EncodingName) -> tiktoken.Encoding:
    """The encoding, equal to `tiktoken.get_encoding(name)`; built on first use (0.15-0.3 s), then shared.

    Raises:
        RankFileError: the bundled ranks are damaged or not those tiktoken expects.
    """
    found = _built.get(name)
    if found is not None:
        return found
    with _building:
        if name not in _built:
            _built[name] = tiktoken.Encoding(**definition(name, load_ranks))
        return _built[name]


def definition(name: str, loader: RankLoader) -> Definition:
    """The definition that tiktoken has of `name`, its ranks read by `loader(url, expected_sha256)`.

    Raises:
        RankFileError: the installed tiktoken defines `name` in a way this function does not know; it is not
            run then, because it might download.
    """
    constructors = cast("Mapping[str, FunctionType]", openai_public.ENCODING_CONSTRUCTORS)
    constructor = constructors.get(name)
    if constructor is None or _LOADER not in constructor.__code__.co_names:
        raise RankFileError(name, "the installed tiktoken does not define it by a rank file")

    def load(url: str, expected_hash: str | None = None) -> dict[bytes, int]:
        return loader(url, expected_hash)

    isolated = FunctionType(constructor.__code__, {**vars(openai_public), _LOADER: load})
    return cast("Definition", isolated())
