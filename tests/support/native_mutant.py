"""Whether a build of the native decoder does anything else than the reference path: a program, since a broken one may hang or crash.

    python -m tests.support.native_mutant LIBRARY RECORDS

`RECORDS` holds batches and what the reference made of them, pickled. It ends with 0 where all is the same, with 3 where it is not.
"""

from __future__ import annotations

import pickle
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

from tests.support.decoding import assert_same
from tokentide.stream.decode.native import NativeDecoder, engine_of

DIFFERS = 3


def main() -> int:
    """Compare batch by batch."""
    _, library, records = sys.argv
    loader = ExtensionFileLoader("_native", library)
    native = module_from_spec(ModuleSpec("_native", loader, origin=library))
    loader.exec_module(native)
    decoder = NativeDecoder(engine_of(native))
    for values, expected in pickle.loads(Path(records).read_bytes()):
        try:
            assert_same(decoder.decode(values), expected)
        except BaseException:  # noqa: BLE001 - a mutant may do anything, and a panic is no `Exception`
            return DIFFERS
    return 0


if __name__ == "__main__":
    sys.exit(main())
