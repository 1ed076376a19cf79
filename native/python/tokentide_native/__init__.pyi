from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

INTERFACE: int
"""Raised with every change of the signatures below."""

class PanicError(Exception):
    """The decoder met a defect of its own; nothing of the batch was decoded. Give it to the reference path."""

_TextArray: TypeAlias = tuple[int, bytes, bytes]
"""Rows, offsets (int32) and bytes."""
_Column: TypeAlias = tuple[int, bytes | None, list[bytes], list[_TextArray]]
"""Nulls, validity bits, the column's own buffers, and the text arrays inside it: a dictionary, a list's items, or a map's keys and items."""

class Other:
    """A part of a call, or an evaluation. Keeps the records of its batch."""

    @property
    def record(self) -> int:
        """Position of its record in the batch."""
    @property
    def item(self) -> int:
        """Its position in the record."""
    @property
    def kind(self) -> Literal["request", "response", "error", "evaluation"]:
        """Its event type."""
    @property
    def unknown_fields(self) -> int:
        """Fields that the contract does not know."""
    @property
    def event_id(self) -> str:
        """Its id."""
    @property
    def timestamp_us(self) -> int:
        """Event time in microseconds since 1970."""
    @property
    def values(self) -> dict[str, object]:
        """Values by flat name, made anew with each call."""

class TableBuilder:
    """Makes columns of events by flat values, one row each. Keeps none of what it is given."""

    def add(self, rows: Sequence[Mapping[str, object]], /) -> None:
        """Add rows; names that are no column's are passed over.

        Raises:
            TypeError, ValueError: a value is not what its column holds. None of these rows was added.
        """

    def columns(self) -> tuple[list[tuple[int, _Column]], int]:
        """The columns with any value, and the number of rows. It is empty afterwards."""

class Decoder:
    """Decodes batches of records; keeps nothing between them, and can be used by several threads at once."""

    def __init__(
        self,
        columns: Sequence[tuple[str, Sequence[str], str, float | None, float, Sequence[str], bool, str]],
        containment: Sequence[tuple[Sequence[int], int, tuple[int, str] | None]],
        limits: tuple[int, int, int, int, int, int],
        part_types: Sequence[str],
        required: Sequence[int],
        required_of_others: Sequence[int],
        judgements: Sequence[int],
        *,
        panic_at: bytes | None = None,
    ) -> None:
        """Take over the contract.

        Args:
            columns: of each its flat name, its path in JSON, its kind (`name`, `text`, `count`, `float`, `money`, `flag`, `time`,
                `texts`, `labels`, `content`), its limit, its minimum, the words allowed, whether an evaluation has it, and the text
                that means the same as none. Columns are named by their place from here on.
            containment: parts, whole, and a column with the word that switches the rule off.
            limits: bytes of a record, its items, depth of an event, entries of a list, labels, characters of a label's key.
            part_types: the event types that are parts of calls.
            required: columns that every event has.
            required_of_others: columns that parts and evaluations have too.
            judgements: columns of which an evaluation has one.
            panic_at: for tests: panic on a record of these bytes.

        Raises:
            ValueError: no such kind, a path of more than two names, or more than 128 columns.
        """

    def decode(
        self, values: Sequence[bytes | None], /
    ) -> tuple[
        list[tuple[int, _Column]],
        bytes,
        bytes,
        bytes,
        list[Other],
        list[tuple[int, int, bytes]],
        list[int],
    ]:
        """Decode the values of consecutive records.

        Returns:
            columns with any value (behind the contract's: for each content column, whether its text is that of messages);
            per row (int32): position of its record, its position in the record, unknown fields; parts and evaluations;
            items (record, item, bytes) and records that the reference path has to judge.

        Raises:
            PanicError: nothing was decoded.
            ValueError: more than 256 MiB in one batch.
        """

    def table_builder(self) -> TableBuilder:
        """An empty one, with the columns of the contract."""
