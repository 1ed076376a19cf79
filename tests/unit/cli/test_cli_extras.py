from __future__ import annotations

import pytest

from tokentide.cli.exits import NotReadyError
from tokentide.cli.extras import missing_modules, require_extra


def test_what_is_imported_is_installed():
    pytest.importorskip("faust", reason="needs the extra [stream]")
    assert missing_modules("stream") == []


def test_what_is_missing_is_named_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setattr(
        "tokentide.cli.extras.NEEDED", {"stream": ("json", "not_there"), "embedded": ("nor_this",)}
    )
    with pytest.raises(
        NotReadyError, match=r"`tokentide up` needs .*\(missing: not_there, nor_this\)"
    ) as caught:
        require_extra("embedded", purpose="`tokentide up`")
    assert caught.value.hint == "pip install 'tokentide[embedded]'"
