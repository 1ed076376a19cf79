"""A client that is kept for several questions: opening one takes three requests, which a slow server makes the larger part of the wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_Answer = TypeVar("_Answer")


class KeptClient:
    """Opened by the first question, and again after one that failed. For one thread at a time."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect
        self._client: Client | None = None

    def ask(self, question: Callable[[Client], _Answer]) -> _Answer:
        """The answer; raises what connecting or the question raises."""
        if self._client is None:
            self._client = self._connect()
        try:
            return question(self._client)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; a later question opens another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
