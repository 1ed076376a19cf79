"""Lets aiokafka's idempotent producer start on the embedded broker.

aiokafka 0.14 asks for its producer id with version 0 of `InitProducerId`, which has no field for a former id; Tansu
0.6 answers requests without these fields with "unknown error", so `AIOKafkaProducer(enable_idempotence=True)` does
not start. Version 3 (KIP-360) has the fields. Every Apache Kafka since 2.5 speaks it too, and the version is
negotiated with each broker, so this does no harm anywhere.
"""

from __future__ import annotations

from typing import Final

from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.protocol.types import CompactString, Int16, Int32, Int64, Schema, TaggedFields

_API_KEY: Final = 22
_VERSION: Final = 3
_NO_ID: Final = -1
_NO_EPOCH: Final = -1


class InitProducerIdResponseV3(Response):  # type: ignore[misc] # aiokafka is untyped for mypy
    """The answer: a producer id and its epoch."""

    API_KEY = _API_KEY
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class InitProducerIdRequestV3(RequestStruct):  # type: ignore[misc] # the same
    """The question, with the former id that a new producer does not have."""

    API_KEY = _API_KEY
    API_VERSION = _VERSION
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = InitProducerIdResponseV3
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("transaction_timeout_ms", Int32),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


def enable_producer_ids() -> None:
    """Add the newer request to aiokafka in this process; call it before a producer starts. Once is enough."""
    known = InitProducerIdRequest._CLASSES
    if InitProducerIdRequestV3 in known:
        return
    build_older = InitProducerIdRequest.build

    def build(request: InitProducerIdRequest, struct: type[RequestStruct]) -> RequestStruct:
        if struct is not InitProducerIdRequestV3:
            return build_older(request, struct)
        return InitProducerIdRequestV3(
            request._transactional_id,
            request._transaction_timeout_ms,
            _NO_ID,
            _NO_EPOCH,
            {},
        )

    InitProducerIdRequest.build = build
    InitProducerIdRequest._CLASSES = (*known, InitProducerIdRequestV3)
