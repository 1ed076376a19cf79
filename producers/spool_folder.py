"""Which folder the spool uses: the one that was set, or one of its own that nobody else can write.

Events may hold prompts, so a folder that we choose has to be the user's alone; one that was set
is taken as it is. Each topic has a folder of its own inside, and, where nothing was set, each broker
address too: what an application could not send to one cluster must not end up in another. Where the address was only
wrong, `left_elsewhere` says what stayed behind.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tokentide.producers.errors import SpoolError
from tokentide.producers.spool_lane import left_behind


def spool_folder(chosen: Path | None, *, topic: str, bootstrap_servers: Sequence[str]) -> Path:
    """Return the folder, made if need be.

    Raises:
        SpoolError: there is none that can be written and is the user's own.
    """
    if chosen is not None:
        folder = chosen.expanduser() / topic
        _make(folder)
        return folder
    address = hashlib.sha256(",".join(sorted(bootstrap_servers)).encode()).hexdigest()[:12]
    problem: SpoolError | None = None
    for base in _own_places():
        try:
            _make(base)
            _refuse_shared(base)
            folder = base / f"{topic}-{address}"
            _make(folder)
        except SpoolError as error:
            problem = problem or error
        else:
            return folder
    raise problem or SpoolError("there is no folder for the spool; set spool_folder")


def left_elsewhere(folder: Path) -> str | None:
    """Return what is to be said of events of the same topic that wait under other addresses; None: nothing.

    Args:
        folder: what `spool_folder` returned. One that was set has no neighbours: it is the same for all addresses.
    """
    own = _PER_ADDRESS.fullmatch(folder.name)
    if own is None:
        return None
    found: dict[Path, int] = {}
    with suppress(OSError):
        for neighbour in sorted(folder.parent.iterdir()):
            other = _PER_ADDRESS.fullmatch(neighbour.name)
            if other and other["topic"] == own["topic"] and neighbour != folder:
                with suppress(OSError):  # somebody else's, or gone meanwhile
                    found[neighbour] = len(left_behind(neighbour))
    places = " and ".join(f"{files} in {place}" for place, files in found.items() if files)
    if not places:
        return None
    return (
        f"files with unsent events of topic {own['topic']} for other addresses of Kafka wait in the spool: {places}; "
        f"if an address was only mended, move the files (*.seg) to {folder}, and they are sent; else delete them"
    )


_PER_ADDRESS: Final = re.compile(r"(?P<topic>.+)-[0-9a-f]{12}")


def _own_places() -> Iterator[Path]:
    """The user's cache folder; where that cannot be written, such as in a container, the temporary one."""
    cache = os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # there is no home
        yield (Path(cache) if cache else Path("~/.cache").expanduser()) / "tokentide" / "spool"
    yield Path(tempfile.gettempdir()) / f"tokentide-spool-{os.getuid() if hasattr(os, 'getuid') else ''}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolError(f"cannot make the spool's folder: {error.strerror}; set spool_folder") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SpoolError("the spool's folder may not be written; set spool_folder")


def _refuse_shared(folder: Path) -> None:
    """In a temporary folder anybody could have made ours first."""
    found = folder.lstat()
    is_ours = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or not is_ours or found.st_mode & 0o022:
        raise SpoolError("the spool's folder belongs to somebody else or may be written by others")
