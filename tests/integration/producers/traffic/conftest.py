"""Until tests/conftest.py names the plug-in, this folder takes the shared fixtures itself."""

from __future__ import annotations

from tests.support.fixtures import (  # noqa: F401 - fixtures are found by name
    _apache_kafka_server,
    _embedded_server,
    apache_kafka,
    broker,
    embedded_broker,
    own_apache_kafka,
    own_broker,
    own_embedded_broker,
)
