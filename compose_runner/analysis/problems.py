"""What of a run could not be made although the rest was: each is logged once, and stays on record."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compose_runner.escaping import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_REASON_LENGTH = 300


class Problems:
    """The figures, tables, diagnostics and texts that a run goes without.

    Attributes
    ----------
    listed : list of dict
        ``what`` could not be made and the ``reason``, in the order in which it was noticed; a part of
        ``metadata.json``.
    """

    def __init__(self) -> None:
        self.listed: list[dict[str, str]] = []

    def add(self, what: str, reason: str) -> None:
        """Put something on record and warn of it, once.

        Parameters
        ----------
        what : str
            What could not be made, such as ``"figure 'Coverage'"``.
        reason : str
            Why, in a few words.
        """
        entry = {"what": what, "reason": reason}
        if entry not in self.listed:
            self.listed.append(entry)
            log.warning("%s could not be made: %s.", what[:1].upper() + what[1:], reason)

    @contextmanager
    def costing(self, what: str) -> Iterator[None]:
        """Let an error in the block cost one thing only; what asks the run to stop passes through.

        Parameters
        ----------
        what : str
            What the block makes.
        """
        try:
            yield
        except Exception as error:
            if (interruption := interruption_behind(error)) is not None:
                raise interruption from error
            log.debug("%s could not be made", what, exc_info=True)
            self.add(what, explain_error(error))


def explain_error(error: BaseException) -> str:
    """Say in one short line what an error is about.

    Parameters
    ----------
    error : BaseException
        Of any library; its text may hold names of documents.
    """
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    text = visible(lines[0].strip().rstrip(".")) if lines else ""
    text = text if len(text) <= _REASON_LENGTH else f"{text[:_REASON_LENGTH]}…"
    return text if text and not isinstance(error, KeyError) else f"{type(error).__name__}{f' {text}' if text else ''}"


def interruption_behind(error: BaseException) -> KeyboardInterrupt | None:
    """Find the request to stop that an error hides: compiled code turns one into an error of its own.

    Parameters
    ----------
    error : BaseException
        What was caught.
    """
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        if isinstance(behind, KeyboardInterrupt):
            return behind
        seen.add(id(behind))
        behind = behind.__cause__ or behind.__context__
    return None
