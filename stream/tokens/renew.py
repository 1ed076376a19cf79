"""Renew the bundled rank files from a Python distribution that carries them.

    pip download --no-deps llama-index-core litellm
    python -m tokentide.stream.tokens.renew llama_index_core-*.whl litellm-*.whl

`llama-index-core` carries o200k_base and cl100k_base, `litellm` also p50k_base. A file is known by its
SHA-256, which must be the one the installed tiktoken pins, never by its name in the archive. Run it after
tiktoken has changed a hash; the same input and liblzma give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from tokentide.stream.tokens.encodings import definition
from tokentide.stream.tokens.ranks import BUNDLED

_FOLDER = Path(__file__).parent / "ranks"


class _PinSeenError(Exception):
    def __init__(self, sha256: str | None) -> None:
        super().__init__(sha256)
        self.sha256 = sha256


def pinned_sha256(name: str) -> str | None:
    """The SHA-256 that the installed tiktoken expects of the rank file `name`."""

    def stop(_url: str, expected_hash: str | None) -> NoReturn:
        raise _PinSeenError(expected_hash)

    try:
        definition(name, stop)
    except _PinSeenError as seen:
        return seen.sha256
    return None


def rank_files(archives: Sequence[Path], pins: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """`(name, content)` of every archive member whose SHA-256 is a value of `pins` (SHA-256 → name)."""
    for archive in archives:
        with zipfile.ZipFile(archive) as members:
            for member in members.infolist():
                if not 500_000 < member.file_size < 10_000_000:  # smallest rank file 0.8 MB, largest 3.6 MB
                    continue
                content = members.read(member)
                name = pins.get(hashlib.sha256(content).hexdigest())
                if name is not None:
                    yield name, content


def packed(content: bytes) -> bytes:
    """The bytes kept in the repository: a third smaller than gzip, 65 ms to unpack the largest."""
    return lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; 0 when every bundled one was found, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", nargs="+", type=Path)
    wheels: list[Path] = parser.parse_args(arguments).wheel
    pins = {sha256: name for name in BUNDLED if (sha256 := pinned_sha256(name)) is not None}
    found = dict(rank_files(wheels, pins))
    for name, content in sorted(found.items()):
        target = _FOLDER / f"{name}.tiktoken.xz"
        target.write_bytes(packed(content))
        sys.stdout.write(f"{target.name}: {len(content):,} bytes, SHA-256 as pinned by tiktoken\n")
    missing = sorted(set(BUNDLED) - found.keys())
    if missing:
        sys.stderr.write(f"in none of the archives with the pinned SHA-256: {', '.join(missing)}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
