"""The key by which `up` and `demo` hash prompts and answers, where the user has set none: made once for each data folder."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

KEY_FILE: Final = "content-hash-key"


def content_key_in(folder: Path) -> str:
    """Return the folder's key; make it, readable by its owner alone, where there is none.

    Hashes of equal texts are equal as long as the key is the same; without it nobody can try out which text a hash is of.

    Raises:
        OSError: the folder cannot be written.
    """
    file = folder / KEY_FILE
    with suppress(FileNotFoundError):
        if known := file.read_text(encoding="ascii").strip():
            return known
    folder.mkdir(parents=True, exist_ok=True)
    key = secrets.token_hex(32)
    scratch = folder / f"{KEY_FILE}.new"  # whoever is killed here leaves no key, rather than an empty one
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(scratch, flags, 0o600), "w", encoding="ascii") as new:
        new.write(f"{key}\n")
    scratch.replace(file)
    return key
