"""What a look at a job's inputs finds: for each finding a code, a severity and a sentence for a researcher."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """No meaningful result can come of it: the job is refused before it computes."""

    WARNING = "warning"
    """The result may mislead."""

    NOTE = "note"
    """What was done with the inputs, and a reader may want to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Parameters
    ----------
    severity : Severity
        How much it matters.
    code : str
        Its kind, in lower case with hyphens; ``docs/checks.md`` lists all.
    message : str
        One sentence or a few, in the words of a researcher.
    studies : tuple of str
        Titles of the studies concerned.
    count : int
        How many of what the message speaks of there are.
    """

    severity: Severity
    code: str
    message: str
    studies: tuple[str, ...] = ()
    count: int = 0

    def describe(self) -> dict[str, Any]:
        """Give the finding as ``metadata.json`` has it."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "message": self.message,
            "studies": list(self.studies),
            "count": self.count,
        }


class Findings:
    """Findings in the order in which they were made, each once.

    Parameters
    ----------
    findings : iterable of Finding
        What is known already.
    """

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._findings: dict[Finding, None] = dict.fromkeys(findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    def __len__(self) -> int:
        return len(self._findings)

    def add(self, severity: Severity, code: str, message: str, studies: Iterable[str] = (), count: int = 0) -> None:
        """Add a finding; parameters are those of :class:`Finding`."""
        self._findings.setdefault(Finding(severity, code, message, tuple(studies), count))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add findings that were made elsewhere."""
        self._findings.update(dict.fromkeys(findings))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Those for which a job is refused."""
        return tuple(finding for finding in self if finding.severity is Severity.ERROR)

    def describe(self) -> list[dict[str, Any]]:
        """Give all findings as ``metadata.json`` has them, the gravest first."""
        gravest = sorted(self, key=lambda finding: list(Severity).index(finding.severity))
        return [finding.describe() for finding in gravest]
