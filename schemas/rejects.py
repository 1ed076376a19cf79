"""Why a record, or one event of a packed record, was refused: a small closed set, and the dead letter."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class RejectReason(StrEnum):
    """The reason of a dead letter; the text beside it names the field, the value's kind and the remedy."""

    EMPTY = "empty"
    """The record has no value (a null or zero bytes)."""
    TOO_LARGE = "too_large"
    """The record is over the size limit, or holds too many events, or is nested too deeply."""
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    UNSUPPORTED_VERSION = "unsupported_version"
    """`schema_version` is one that this worker does not know."""
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    INVALID_VALUE = "invalid_value"
    """The right type, but not an allowed value: too long, too large, not one of the names, no date."""
    INCONSISTENT = "inconsistent"
    """A number that cannot be: two that contradict each other, such as cached > input tokens, one below its
    smallest value, such as a negative count, or one that is not finite."""
    CLOCK = "clock"
    """The timestamp is before 2000, in the future, or below the age limit where one is set."""


class DeadLetter(BaseModel):
    """One message of the topic `llm.rejected`; the key is `topic/partition/offset/index`.

    `(topic, partition, offset, index)` is its identity: the same input gives the same letter again,
    so readers may see one twice after a crash and keep either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: RejectReason
    step: str = Field(
        description="Step of the worker that refused it: `validate` for `inconsistent` and `clock`, else `decode`."
    )
    error: str = Field(description="What is wrong and how to mend it; never the payload's own text.")
    field: str | None = Field(default=None, description="Path of the field at fault, where there is one.")
    source: str = Field(description="Topic and topic id that the record came from.")
    topic: str
    partition: int
    offset: int
    index: int = Field(description="Position in a packed record, from 0; -1 means the record as a whole.")
    record_timestamp_ms: int = Field(description="Kafka's own time of the record, ms since 1970.")
    value_base64: str | None = Field(
        description="The refused bytes (the one event of a packed record, else the whole record); "
        "absent where only hashes are kept or the record had no value."
    )
    value_bytes: int | None = Field(description="Size of the refused bytes before any cut; null: no value.")
    value_sha256: str | None = Field(description="SHA-256 of the uncut bytes, hex.")
    truncated: bool = Field(default=False, description="True if `value_base64` holds only the beginning.")
    key_base64: str | None = Field(default=None, description="The record's key.")
