"""Answers of AWS that moto does not give: what a state's call gets instead of one, each for one call."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CallFault:
    """What one call of a state machine is answered.

    Parameters
    ----------
    error : str or None
        Name of the error, such as ``"ECS.ThrottlingException"``; None for a call that succeeds.
    cause : str or None
        The error's cause; None if there is none.
    output : Any
        Of a call that succeeds, as Step Functions hands it on.
    """

    error: str | None = None
    cause: str | None = None
    output: Any = None


class CallFaults:
    """Answers to calls that are still to be made, by the name of the state that makes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: defaultdict[str, deque[CallFault]] = defaultdict(deque)

    def add(self, state: str, *faults: CallFault) -> None:
        """Answer the next calls of a state with these, one each."""
        with self._lock:
            self._faults[state].extend(faults)

    def clear(self) -> None:
        """Let moto answer every call again."""
        with self._lock:
            self._faults.clear()

    def take(self, state: str) -> CallFault | None:
        """Give the answer to a state's call; None if moto is to give it."""
        with self._lock:
            waiting = self._faults.get(state)
            return copy.deepcopy(waiting.popleft()) if waiting else None
