"""Which decoder runs: the native one where it is installed, else the one in Python. The results are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal, TypeVar

import pyarrow as pa

from tokentide.config.settings import DecoderChoice
from tokentide.stream.decode.batch import BatchDecoder, Decoded, Flat
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.decode.native import INTERFACE, NativeDecoder, engine_of

DecoderName = Literal["native", "python"]

PACKAGE: Final = "tokentide-native"
_MODULE: Final = "tokentide_native"

_Result = TypeVar("_Result")


class DecoderMissingError(Exception):
    """The setting asks for the native decoder, and it cannot be used; the message says why and what to do."""


class ChosenDecoder:
    """The decoder that runs, and why."""

    def __init__(self, decoder: BatchDecoder, name: DecoderName, reason: str) -> None:
        self._decoder = decoder
        self._spare = Decoder()
        self.name: Final = name
        self.reason: Final = reason
        """For people: the version, or what is missing."""
        self.defects = 0
        """Batches that the native decoder gave up because of a defect of its own; Python decoded them."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values of consecutive records. Refuses items; never raises for what they hold."""
        return self._tried(lambda decoder: decoder.decode(values))

    def table(self, rows: Sequence[Flat]) -> pa.Table:
        """Return the table that `Decoded` describes for events by flat values."""
        return self._tried(lambda decoder: decoder.table(rows))

    def _tried(self, work: Callable[[BatchDecoder], _Result]) -> _Result:
        if self.name == "python":
            return work(self._decoder)
        try:
            return work(self._decoder)
        except Exception:  # noqa: BLE001 - whatever the native code meets, the batch must not be lost
            self.defects += 1
            return work(self._spare)


def choose_decoder(choice: DecoderChoice) -> ChosenDecoder:
    """The decoder for a setting.

    Raises:
        DecoderMissingError: `native` is asked for, and is not there or does not fit.
    """
    if choice == "python":
        return ChosenDecoder(Decoder(), "python", "worker.decoder says so")
    native, obstacle = _native()
    if native is not None:
        return ChosenDecoder(native, "native", f"{PACKAGE} {_version()}")
    if choice == "native":
        raise DecoderMissingError(f"worker.decoder is native, and {obstacle}; or set it to auto or python")
    return ChosenDecoder(Decoder(), "python", obstacle)


def _native() -> tuple[NativeDecoder | None, str]:
    """The native decoder, or what stands in its way and how to mend it."""
    try:
        module = import_module(_MODULE)
    except ModuleNotFoundError:
        return (
            None,
            f"{PACKAGE} is not installed: `make install` in a clone builds it where cargo is; or pip install 'tokentide[native]' where the index has it",
        )
    except ImportError as error:  # made for another machine or Python
        return None, f"{PACKAGE} {_version()} cannot be loaded ({error}): install it anew for this Python"
    if module.INTERFACE != INTERFACE:
        return (
            None,
            f"{PACKAGE} {_version()} is made for another version of tokentide: install both of one version",
        )
    return NativeDecoder(engine_of(module)), ""


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "of unknown version"
