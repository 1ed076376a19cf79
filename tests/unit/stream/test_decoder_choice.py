"""Which decoder runs, and what becomes of a batch that the native one fails on."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.decode.native import INTERFACE, NativeDecoder, engine_of
from tokentide.stream.decoder_choice import ChosenDecoder, DecoderMissingError, choose_decoder

EVENT = json.dumps({"event_id": "a", "timestamp": 1769860800, "service": "s"}).encode()


@pytest.fixture
def _none_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokentide_native", None)


@pytest.mark.usefixtures("_none_installed")
def test_without_the_package_python_decodes_and_says_what_brings_it() -> None:
    chosen = choose_decoder("auto")
    assert chosen.name == "python"
    assert "not installed" in chosen.reason
    assert "tokentide[native]" in chosen.reason
    assert chosen.decode([EVENT]).items == 1


@pytest.mark.usefixtures("_none_installed")
def test_asked_for_and_not_there_it_is_a_mistake_that_names_setting_and_remedy() -> None:
    with pytest.raises(DecoderMissingError, match=r"worker\.decoder is native, .* pip install"):
        choose_decoder("native")


def test_a_package_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokentide_native", SimpleNamespace(INTERFACE=INTERFACE + 1))
    assert choose_decoder("auto").name == "python"
    with pytest.raises(DecoderMissingError, match="install both of one version"):
        choose_decoder("native")


def test_where_it_is_installed_it_is_used_unless_python_is_asked_for() -> None:
    pytest.importorskip("tokentide_native", reason="not built: `make install` builds it where cargo is")
    assert choose_decoder("auto").name == choose_decoder("native").name == "native"
    assert choose_decoder("auto").reason.startswith("tokentide-native 0.")
    assert choose_decoder("python").name == "python"


def test_a_batch_on_which_the_native_code_panics_is_decoded_in_python_and_counted(
    capfd: pytest.CaptureFixture[str],
) -> None:
    native = pytest.importorskip(
        "tokentide_native", reason="not built: `make install` builds it where cargo is"
    )
    decoder = NativeDecoder(engine_of(native, panic_at=EVENT))
    with pytest.raises(native.PanicError):
        decoder.decode([EVENT])
    chosen = ChosenDecoder(decoder, "native", "a test")
    assert chosen.decode([EVENT]).table["event_id"].to_pylist() == ["a"]
    assert chosen.defects == 1
    assert chosen.decode([EVENT[:-1] + b', "tenant": "t"}']).table["tenant"].to_pylist() == ["t"]
    assert chosen.defects == 1
    assert capfd.readouterr() == ("", "")  # a panic's message may hold a piece of an event


def test_rows_that_the_native_code_cannot_take_stand_in_the_table_in_their_place_and_are_counted() -> None:
    native = pytest.importorskip(
        "tokentide_native", reason="not built: `make install` builds it where cargo is"
    )

    class OfTwoMinds:
        """Fails once, as a defect would."""

        def __init__(self) -> None:
            self.inner = NativeDecoder(engine_of(native)).table_builder()
            self.calls = 0

        def add(self, rows: Any) -> None:
            self.calls += 1
            if self.calls == 2:
                raise TypeError(rows)
            self.inner.add(rows)

        def table(self) -> Any:
            return self.inner.table()

    class Decoding(Decoder):
        def table_builder(self) -> Any:
            return OfTwoMinds()

    chosen = ChosenDecoder(Decoding(), "native", "a test")
    builder = chosen.table_builder()
    for first in "ac", "eg", "ik":
        builder.add([{"event_id": event_id, "service": f"s-{event_id}"} for event_id in first])
    made = builder.table()
    assert made["event_id"].to_pylist() == list("acegik")
    assert made["service"].to_pylist() == [f"s-{event_id}" for event_id in "acegik"]
    assert chosen.defects == 1
    assert builder.table().num_rows == 0
