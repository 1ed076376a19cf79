"""Until tests/conftest.py names the plug-in `tests.support.fixtures`, this folder takes the shared fixtures itself."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # `tests` is imported from the repository's root

from tests.support.fixtures import (  # noqa: F401 - fixtures are found by name
    _apache_kafka_server,
    _embedded_server,
    _proxied_apache_kafka,
    _proxied_embedded_broker,
    apache_kafka,
    broker,
    embedded_broker,
    own_apache_kafka,
    own_broker,
    own_embedded_broker,
    proxied_broker,
)
