"""What a change to moto is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

MOTO_VERSION = "5.2.5"


class Kind(Enum):
    """Why moto is changed, and so whether a newer moto can end it."""

    BUG = "mends a bug of moto"
    SPEED = "makes moto faster"
    OURS = "what the embedded service needs and moto is not meant to do"


@dataclass(frozen=True)
class Patch:
    """One change.

    Parameters
    ----------
    name : str
        For tests.
    kind : Kind
        Why moto is changed.
    reference : str
        Issue of moto (``getmoto/moto#10076``), or the file of moto that behaves so.
    reason : str
        What moto does, and what AWS does.
    owner : object
        The class or module that is changed.
    attributes : dict
        New values by attribute.
    moto : str
        Version for which it was found necessary.
    """

    name: str
    kind: Kind
    reference: str
    reason: str
    owner: Any
    attributes: dict[str, Any]
    moto: str = MOTO_VERSION
