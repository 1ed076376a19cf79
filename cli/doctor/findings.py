"""What a check finds, and how findings add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tokentide.cli.exits import CliError, ForbiddenError

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    area: str
    check: str
    status: Status
    text: str
    remedy: str = ""
    """What to do; empty where nothing has to be done."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """Makes the findings of one area."""

    area: str

    def ok(self, check: str, text: str) -> Finding:
        """All is well."""
        return Finding(self.area, check, "ok", text)

    def warn(self, check: str, text: str, remedy: str) -> Finding:
        """It works, and may bite later."""
        return Finding(self.area, check, "warn", text, remedy)

    def fail(self, check: str, text: str, remedy: str) -> Finding:
        """It does not work."""
        return Finding(self.area, check, "fail", text, remedy)

    def skip(self, check: str, text: str) -> Finding:
        """It could not be looked at."""
        return Finding(self.area, check, "skip", text)

    def guarded(self, check: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
        """The findings of one look; where a service refuses to answer, that is the finding.

        What this user of ClickHouse may not look at is not checked: readers need no more than they have.
        """
        try:
            yield from look()
        except ForbiddenError as error:
            yield self.skip(check, error.message)
        except CliError as error:
            yield self.fail(check, error.message, error.hint or "See the message.")


def is_healthy(findings: Iterable[Finding]) -> bool:
    """No check failed; warnings are allowed."""
    return not any(finding.status == "fail" for finding in findings)


def not_checked(findings: Iterable[Finding]) -> list[str]:
    """Names of the checks that could not look."""
    return [finding.check for finding in findings if finding.status == "skip"]
