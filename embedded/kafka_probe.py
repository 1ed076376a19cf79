"""Asks a Kafka broker who it is: the readiness check of brokers that this package starts.

One Metadata request over a plain socket, encoded by kafka-python. Its clients are not used: one that fails to
connect leaves its thread and socket behind (kafka-python 3.0), which a check that fails every 50 ms cannot afford.
"""

from __future__ import annotations

import socket
from typing import Any, Final, NamedTuple

from kafka.errors import KafkaError
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.parser import KafkaProtocol

_METADATA_VERSION: Final = 4
"""The first that can forbid topic creation by asking; every broker since Kafka 0.11 speaks it."""
_MAX_ANSWER_BYTES: Final = 1_000_000
_TIMEOUT_S: Final = 2.0


class ClusterIdentity(NamedTuple):
    """What a broker says about its cluster."""

    cluster_id: str | None
    brokers: tuple[tuple[str, int], ...]
    """Host and port of each broker as clients are told to use them."""


def ask_cluster(host: str, port: int, *, timeout_s: float = _TIMEOUT_S) -> ClusterIdentity:
    """Ask the broker at this address for its cluster's id and brokers.

    Raises:
        OSError: nobody listens, or no answer came in time.
        KafkaError: the answer is not one of Kafka.
    """
    protocol = KafkaProtocol(client_id="tokentide-probe", receive_message_max_bytes=_MAX_ANSWER_BYTES)
    protocol.send_request(
        MetadataRequest(version=_METADATA_VERSION, topics=[], allow_auto_topic_creation=False)
    )
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        connection.settimeout(timeout_s)
        connection.sendall(protocol.send_bytes())
        answers: list[tuple[int, Any]] = []
        while not answers:
            received = connection.recv(65_536)
            if not received:
                raise ConnectionResetError("the connection was closed instead of an answer")
            answers = protocol.receive_bytes(received)
    metadata = answers[0][1]
    return ClusterIdentity(
        metadata.cluster_id, tuple((broker.host, broker.port) for broker in metadata.brokers)
    )


def kafka_health(
    host: str, port: int, *, cluster_id: str | None = None, timeout_s: float = _TIMEOUT_S
) -> str | None:
    """Return None if the broker at this address serves, else what is missing.

    Args:
        host: its address.
        port: its port.
        cluster_id: the cluster that must answer, since a stranger may have taken the port; None: any.
        timeout_s: for the connection, and for each piece of the answer.
    """
    try:
        identity = ask_cluster(host, port, timeout_s=timeout_s)
    except OSError as error:
        return f"no connection to {host}:{port}: {error.strerror or type(error).__name__}"
    except KafkaError as error:
        return f"{host}:{port} does not speak Kafka: {type(error).__name__}"
    if cluster_id is not None and identity.cluster_id != cluster_id:
        return f"another Kafka cluster answers at {host}:{port}"
    if not identity.brokers:
        return f"the cluster at {host}:{port} has no broker yet"
    return None
