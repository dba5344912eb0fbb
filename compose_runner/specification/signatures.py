"""What NiMARE's estimators and correctors take, known without importing NiMARE.

``signatures.json`` is written from NiMARE's own classes by :mod:`compose_runner.specification.generate`; this
module reads it and turns what a specification holds into the types that NiMARE wants.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_runner.specification.domains import DOMAINS, MOST_ITEMS, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATH = Path(__file__).with_name("signatures.json")

# what NiMARE or joblib would open: a mask, a folder of cached results
PATH_ARGUMENTS = frozenset({"mask", "memory"})

NULL_WORDS = frozenset({"", "none", "null"})
TRUE_WORDS = frozenset({"true", "yes", "on", "1"})
FALSE_WORDS = frozenset({"false", "no", "off", "0"})

_TYPE_NAMES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "array": "a list",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a NiMARE class or method.

    Parameters
    ----------
    name : str
        The argument's name.
    types : tuple of str
        JSON's types that it takes (``boolean``, ``integer``, ``number``, ``string``, ``array``); empty if NiMARE
        does not say.
    choices : tuple of str
        The words it takes, if it takes some words only.
    nullable : bool
        Whether null means something else than "leave the default".
    required : bool
        Whether there is no default.
    default : object
        The default, where JSON can say it.
    domain : Interval or None
        Which numbers it takes, if it takes numbers; of a list, each of them.
    """

    name: str
    types: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    nullable: bool = False
    required: bool = False
    default: Any = None
    domain: Interval | None = None

    def convert(self, value: Any) -> Any:
        """Turn a specification's value into what NiMARE takes.

        Texts are read by the argument's type, since Compose's form stores texts. What has another type than NiMARE
        names, or is a number outside the argument's domain, is refused.

        Parameters
        ----------
        value : object
            Any JSON value.

        Returns
        -------
        object
            The value; None if it is null or an empty text.

        Raises
        ------
        ValueError
            With a sentence that says what the argument takes.
        """
        result = self._from_text(value) if isinstance(value, str) else value
        if self.name.rpartition("__")[2] in PATH_ARGUMENTS:
            if result is None:
                return None
            raise ValueError(f"{self.name!r} must be null, not {truncate_repr(value)}: a specification names no files")
        if isinstance(result, int) and self.types == ("boolean",) and result in (0, 1):
            return bool(result)
        if result is not None and not self._takes(result):
            raise ValueError(self._refusal(value))
        return int(result) if isinstance(result, float) and self._is_whole(result) else result

    def _is_whole(self, value: float) -> bool:
        """Whether a number stands for a whole one, where whole ones are wanted."""
        if self.domain is not None and self.domain.whole:
            return True
        return value.is_integer() and "integer" in self.types and "number" not in self.types

    def _takes(self, value: Any) -> bool:
        """Whether a value has one of the types, and its numbers are in the domain."""
        if isinstance(value, str):
            return value in self.choices or "string" in self.types or (self._untyped and self.domain is None)
        if isinstance(value, bool):
            return "boolean" in self.types or (self._untyped and self.domain is None)
        if isinstance(value, list | tuple):
            return "array" in self.types and self._takes_items(value)
        if isinstance(value, int | float) and self._takes_numbers:
            return value in self.domain if self.domain is not None else math.isfinite(value)
        return False

    @property
    def _takes_numbers(self) -> bool:
        return self._untyped or bool({"integer", "number"} & set(self.types))

    def _takes_items(self, values: Sequence[Any]) -> bool:
        """Whether a list, or a list of lists, holds what the argument takes."""
        items = [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
        if len(items) > MOST_ITEMS:
            return False
        if self.domain is None:
            return all(isinstance(item, str | bool | int | float) for item in items)
        return all(item in self.domain for item in items)

    def _from_text(self, text: str) -> Any:
        word = text.strip().casefold()
        if word in NULL_WORDS and (self.types != ("string",) or not word):
            return None
        for choice in self.choices:
            if word == choice.casefold():
                return choice
        for reading in (self._truth(word), self._number(word), self._list(text)):
            if reading is not None:
                return reading
        if "string" not in self.types and not (self._untyped and self.domain is None):
            raise ValueError(self._refusal(text))
        return text

    @property
    def _untyped(self) -> bool:
        """Whether NiMARE does not say what it takes, so that a text is read as what it looks like."""
        return not self.types and not self.choices

    def _truth(self, word: str) -> bool | None:
        """Read a truth value; digits are numbers wherever the argument can take numbers."""
        if self.types == ("boolean",) and word in TRUE_WORDS | FALSE_WORDS:
            return word in TRUE_WORDS
        if (self._untyped or "boolean" in self.types) and word in ("true", "false"):
            return word == "true"
        return None

    def _number(self, word: str) -> int | float | None:
        return _number(word) if self._untyped or {"integer", "number"} & set(self.types) else None

    def _list(self, text: str) -> list[Any] | None:
        return _list(text) if self._untyped or "array" in self.types else None

    def _refusal(self, value: object) -> str:
        kinds = [repr(choice) for choice in self.choices]
        if self.domain is not None and self._takes_numbers:
            kinds.append(str(self.domain))
        kinds += [_TYPE_NAMES[word] for word in self.types if self.domain is None or word not in ("integer", "number")]
        if self.domain is not None and "array" in self.types:
            kinds[-1] = f"a list of at most {MOST_ITEMS:,} items, each {self.domain}"
        kinds += ["null"] if self.nullable else []
        return f"{self.name!r} must be {' or '.join(kinds) or 'a single value'}, not {truncate_repr(value)}"


@dataclass(frozen=True, slots=True)
class EstimatorSignature:
    """One estimator.

    Parameters
    ----------
    name : str
        Its class's name.
    kind : str
        ``CBMA`` (coordinates) or ``IBMA`` (images).
    groups : int
        How many groups of studies it takes, 1 or 2.
    kernel : str or None
        The class of its default kernel.
    prefixes : tuple of str
        Arguments that begin so are handed on to the kernel or to the resampling of images.
    gives_p_map : bool
        Whether its result has a map of p values, which the correctors' own methods need.
    parameters : dict
        Its own arguments by name.
    corrections : dict
        Its own methods of correction: family (``fwe``, ``fdr``), method, arguments by name.
    """

    name: str
    kind: str
    groups: int
    kernel: str | None
    prefixes: tuple[str, ...]
    gives_p_map: bool
    parameters: dict[str, Parameter]
    corrections: dict[str, dict[str, dict[str, Parameter]]]


@dataclass(frozen=True, slots=True)
class CorrectorSignature:
    """One corrector.

    Parameters
    ----------
    name : str
        Its class's name.
    family : str
        ``fwe`` or ``fdr``.
    parameters : dict
        The arguments of its constructor by name.
    methods : dict
        The methods that it brings for every estimator, with their arguments by name.
    """

    name: str
    family: str
    parameters: dict[str, Parameter]
    methods: dict[str, dict[str, Parameter]]


@dataclass(frozen=True, slots=True)
class Signatures:
    """Everything of NiMARE that a specification can name, by class name; and how images are resampled."""

    nimare_version: str
    estimators: dict[str, EstimatorSignature]
    correctors: dict[str, CorrectorSignature]
    kernels: dict[str, dict[str, Parameter]]
    resampling: dict[str, Parameter]


@cache
def signatures() -> Signatures:
    """Read the signatures, once per process."""
    document = json.loads(_PATH.read_text(encoding="utf-8"))
    return Signatures(
        nimare_version=document["nimare_version"],
        estimators={
            name: EstimatorSignature(
                name=name,
                kind=one["kind"],
                groups=one["groups"],
                kernel=one["kernel"],
                prefixes=tuple(one["prefixes"]),
                gives_p_map=one["gives_p_map"],
                parameters=_parameters(one["parameters"]),
                corrections={family: _methods(methods) for family, methods in one["corrections"].items()},
            )
            for name, one in document["estimators"].items()
        },
        correctors={
            name: CorrectorSignature(
                name=name,
                family=one["family"],
                parameters=_parameters(one["parameters"]),
                methods=_methods(one["methods"]),
            )
            for name, one in document["correctors"].items()
        },
        kernels={name: _parameters(one) for name, one in document["kernels"].items()},
        resampling=_parameters(document["resampling"]),
    )


def _methods(document: dict[str, Any]) -> dict[str, dict[str, Parameter]]:
    return {method: _parameters(described) for method, described in document.items()}


def _parameters(document: dict[str, Any]) -> dict[str, Parameter]:
    return {
        name: Parameter(
            name=name,
            types=tuple(described.get("types", ())),
            choices=tuple(described.get("choices", ())),
            nullable=described.get("nullable", False),
            required=described.get("required", False),
            default=described.get("default"),
            domain=DOMAINS.get(name),
        )
        for name, described in document.items()
    }


def truncate_repr(value: object, length: int = 60) -> str:
    """Write a value for an error text, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes, lists in lists
        text = f"a very long {type(value).__name__}"
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _number(word: str) -> int | float | None:
    """Read a finite number: whole as int, all else as float; None if it is none."""
    try:
        return int(word)
    except ValueError:
        pass
    try:
        number = float(word)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def _list(text: str) -> list[Any] | None:
    """Read a list written as JSON; None if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None
