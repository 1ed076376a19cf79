"""Which decoder runs: the native one where it is installed, else the one in Python. The results are the same."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal

import pyarrow as pa

from tokentide.config.settings import DecoderChoice
from tokentide.stream.decode.batch import BatchDecoder, Decoded, Flat, TableBuilder
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.decode.native import INTERFACE, NativeDecoder, engine_of
from tokentide.stream.decode.rows import finished, flat_table

DecoderName = Literal["native", "python"]

PACKAGE: Final = "tokentide-native"
_MODULE: Final = "tokentide_native"


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
        if self.name == "python":
            return self._decoder.decode(values)
        try:
            return self._decoder.decode(values)
        except Exception:  # noqa: BLE001 - whatever the native code meets, the batch must not be lost
            self.defects += 1
            return self._spare.decode(values)

    def table_builder(self) -> TableBuilder:
        """Something that makes a table of events by flat values."""
        if self.name == "python":
            return self._decoder.table_builder()
        return _GuardedTable(self, self._decoder.table_builder())


class _GuardedTable:
    """A native table; rows that it cannot take, for a defect of its own, stand in one of Python's, in the same order."""

    def __init__(self, chosen: ChosenDecoder, builder: TableBuilder) -> None:
        self._chosen = chosen
        self._builder = builder
        self._pieces: list[pa.Table] = []

    def add(self, rows: Sequence[Flat]) -> None:
        try:
            self._builder.add(rows)
        except Exception:  # noqa: BLE001 - as above
            self._chosen.defects += 1
            self._pieces += [self._builder.table(), flat_table(rows)]

    def table(self) -> pa.Table:
        pieces, self._pieces = [*self._pieces, self._builder.table()], []
        if len(pieces) == 1:
            return pieces[0]
        whole = [finished(piece) for piece in pieces if piece.num_rows]
        return pa.concat_tables(whole, promote_options="default").unify_dictionaries().combine_chunks()


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
