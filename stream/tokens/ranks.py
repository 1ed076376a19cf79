"""The BPE rank files that ship with the package: reading them and proving that they are the right ones.

Owns: the three bundled files (`ranks/*.tiktoken.xz`), their decompression, the check of their SHA-256 and
the parse into `{token bytes: rank}`. Does not own: patterns, special tokens and the hashes themselves;
those are tiktoken's (`encodings.py` asks it for them). Nothing here reads the network, the environment or
a cache folder: tiktoken's own loader does all three, which a locked-down network forbids.

Origin and licence of the files are in NOTICE, how to renew them in `renew.py`.
"""

from __future__ import annotations

import base64
import hashlib
import lzma
from importlib import resources
from typing import Final

# r50k_base has no file of its own: it is the first 50,256 lines of p50k_base, which only adds 24 tokens for
# runs of spaces. That its SHA-256 is the one tiktoken pins is checked like any other.
_PREFIX_OF: Final = {"r50k_base": ("p50k_base", 50_256)}

BUNDLED: Final = ("o200k_base", "cl100k_base", "p50k_base")
"""Names of the rank files in `ranks/`."""


class RankFileError(RuntimeError):
    """A bundled rank file is missing, damaged, or not the one the installed tiktoken expects.

    Counting cannot go on with it: every count would be silently wrong. Reinstall the package; after an
    upgrade of tiktoken, renew the files with `python -m tokentide.stream.tokens.renew`.

    Attributes:
        name: the rank file.
        expected_sha256: what tiktoken pins, if it got that far.
        found_sha256: what the unpacked file has, if it could be unpacked.
    """

    def __init__(
        self, name: str, problem: str, *, expected_sha256: str | None = None, found_sha256: str | None = None
    ) -> None:
        super().__init__(
            f"rank file {name!r}: {problem}. Reinstall tokentide; if tiktoken is newer than tokentide, "
            "renew the files with `python -m tokentide.stream.tokens.renew WHEEL`"
        )
        self.name = name
        self.expected_sha256 = expected_sha256
        self.found_sha256 = found_sha256


def load_ranks(url: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """The ranks that tiktoken would download from `url`, read from the package.

    Has the signature of `tiktoken.load.load_tiktoken_bpe`, in whose place it is called. Takes about 0.2 s for
    o200k_base.

    Raises:
        RankFileError: the file is not bundled, is damaged, or its SHA-256 is not `expected_hash`.
    """
    name = rank_name(url)
    if expected_hash is None:
        raise RankFileError(name, "tiktoken pins no SHA-256 for it")
    content = _unpacked(name)
    verify(name, content, expected_hash)
    return parse(content)


def rank_name(url: str) -> str:
    """`o200k_base` for `https://…/encodings/o200k_base.tiktoken`."""
    return url.rpartition("/")[2].removesuffix(".tiktoken")


def verify(name: str, content: bytes, expected_sha256: str) -> None:
    """Raise RankFileError unless the SHA-256 of `content` is `expected_sha256`."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected_sha256:
        raise RankFileError(
            name,
            f"SHA-256 is {found}, tiktoken expects {expected_sha256}",
            expected_sha256=expected_sha256,
            found_sha256=found,
        )


def parse(content: bytes) -> dict[bytes, int]:
    """`{token: rank}` of a verified file: one base64 token and one rank a line."""
    decode = base64.b64decode
    return {decode(token): int(rank) for token, rank in map(bytes.split, content.splitlines())}


def _unpacked(name: str) -> bytes:
    if name in _PREFIX_OF:
        longer, lines = _PREFIX_OF[name]
        return b"".join(_unpacked(longer).splitlines(keepends=True)[:lines])
    if name not in BUNDLED:
        raise RankFileError(name, f"not among the bundled ones ({', '.join(BUNDLED)})")
    packed = resources.files(__package__) / "ranks" / f"{name}.tiktoken.xz"
    try:
        return lzma.decompress(packed.read_bytes())
    except FileNotFoundError as error:
        raise RankFileError(name, "missing from the installation") from error
    except lzma.LZMAError as error:
        raise RankFileError(name, f"cannot be unpacked ({error})") from error
