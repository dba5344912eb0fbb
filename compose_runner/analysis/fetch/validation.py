"""What a studyset, an annotation and a specification must look like before anything is computed from them.

NiMARE reads NIMADS documents leniently, but a wrong type deep inside ends in an error that names no location. Here the
place is named. What NiMARE accepts passes: lists and coordinates may be null or absent, ids may be numbers, a study
may have no analyses. Only the types that a later stage relies on are looked at. Coordinates of foci are read, or left
out and counted, by :mod:`compose_runner.analysis.select.foci`; only those of a reference studyset, which nobody reads
again, are looked at here. How many there are of everything is bounded, since memory and time grow with it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from compose_runner.analysis.select.foci import FARTHEST_MM
from compose_runner.compose.document_shapes import identifier
from compose_runner.errors import DocumentMalformedError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there may be of everything in one studyset and its annotation.

    The largest coordinate-based meta-analyses have some thousand studies. NiMARE needs about 18 kB of memory for a
    focus and its share of the maps (10.8 GB for 600,000, ALE).

    Parameters
    ----------
    studies, analyses, foci, images, conditions : int
        In the studyset; conditions of one analysis.
    notes, columns : int
        In an annotation.
    """

    studies: int = 20_000
    analyses: int = 100_000
    foci: int = 200_000
    images: int = 50_000
    conditions: int = 1_000
    notes: int = 200_000
    columns: int = 1_000


# of databases that an operator's settings name, which are as large as they are
UNCOUNTED = Counts(*[2**63] * 7)


class _Location:
    """Where in which document we are, to be named when something is wrong there."""

    __slots__ = ("address", "document", "path", "study")

    def __init__(self, document: str, address: str, path: str = "", study: object = None) -> None:
        self.document, self.address, self.path, self.study = document, address, path, study

    def __truediv__(self, step: str | int) -> _Location:
        step = f"[{step}]" if isinstance(step, int) else f".{step}" if self.path else step
        return _Location(self.document, self.address, f"{self.path}{step}", self.study)

    def refuse(self, expected: str, found: object) -> NoReturn:
        shown = type(found).__name__ if isinstance(found, dict | list) else repr(found)[:60]
        where = f"{self.path} is" if self.path else "it is"
        title = f", in the study {self.study[:100]!r}" if isinstance(self.study, str) and self.study else ""
        raise DocumentMalformedError(self.document, self.address, f"{where} not {expected} but {shown}{title}")


class _Counted:
    """Counts what a document holds, and refuses it when that is too much."""

    def __init__(self, location: _Location, counts: Counts) -> None:
        self._location, self._counts = location, counts
        self._found: Counter[str] = Counter()

    def add(self, what: str, n: int) -> None:
        """Count ``n`` more of what :class:`Counts` has under this name."""
        self._found[what] += n
        most = getattr(self._counts, what)
        if self._found[what] > most:
            reason = f"it has {self._found[what]:,} {what} or more, and at most {most:,} can be worked with"
            raise DocumentMalformedError(self._location.document, self._location.address, reason)


def check_studyset(
    studyset: object,
    document: str = "studyset",
    address: str = "",
    counts: Counts | None = None,
    *,
    foci_are_numbers: bool = False,
) -> dict[str, Any]:
    """Make sure that a document is a studyset that NiMARE can read.

    Parameters
    ----------
    studyset : object
        The document.
    document, address : str
        What it is and where it came from, for the error.
    counts : Counts, optional
        How many there may be of everything.
    foci_are_numbers : bool
        Refuse a focus that is not three finite numbers, or absent.

    Returns
    -------
    dict
        The same document.

    Raises
    ------
    DocumentMalformedError
        Naming the place in the document, and the study; or how many there are of something, and how many there may be.
    """
    here = _Location(document, address)
    studyset = _mapping(here, studyset)
    counts = counts or Counts()
    counted = _Counted(here, counts)
    if not isinstance(studyset.get("studies"), list):
        (here / "studies").refuse("a list of studies", studyset.get("studies"))
    counted.add("studies", len(studyset["studies"]))
    for location, own in _mappings(here / "annotations", studyset.get("annotations")):
        check_annotation({**own, "notes": own.get("notes") or []}, document, address, location.path, counts)
    for study_location, study in _mappings(here / "studies", studyset["studies"]):
        study_location.study = study.get("name")
        _identified(study_location, study)
        counted.add("analyses", _length(study.get("analyses")))
        for location, analysis in _mappings(study_location / "analyses", study.get("analyses")):
            _identified(location, analysis)
            counted.add("foci", _length(analysis.get("points")))
            counted.add("images", _length(analysis.get("images")))
            _Counted(here, counts).add("conditions", _length(analysis.get("conditions")))
            _check_points(location / "points", analysis.get("points"), foci_are_numbers)
            _check_images(location / "images", analysis.get("images"))
            _check_conditions(location, analysis)
    return studyset


def _length(values: object) -> int:
    return len(values) if isinstance(values, list) else 0


def check_annotation(
    annotation: object,
    document: str = "annotation",
    address: str = "",
    path: str = "",
    counts: Counts | None = None,
) -> dict[str, Any]:
    """Make sure that a document is an annotation: notes on analyses, and the keys of the notes.

    Parameters and errors are those of :func:`check_studyset`; ``path`` is where in the document the annotation is.
    """
    here = _Location(document, address, path)
    annotation = _mapping(here, annotation)
    for key in ("id", "name"):
        if isinstance(annotation.get(key), dict | list):
            (here / key).refuse("a text", annotation[key])
    if not isinstance(annotation.get("notes"), list):
        (here / "notes").refuse("a list of notes", annotation.get("notes"))
    counted = _Counted(here, counts or Counts())
    counted.add("notes", len(annotation["notes"]))
    columns: set[str] = set()
    for location, note in _mappings(here / "notes", annotation["notes"]):
        if not isinstance(note.get("note"), dict | None):
            (location / "note").refuse("an object", note["note"])
        columns.update(note.get("note") or ())
        for key in ("analysis", "study"):
            if isinstance(note.get(key), dict | list):
                (location / key).refuse("an id", note[key])
    keys = annotation.get("note_keys")
    if not isinstance(keys, dict | None):
        (here / "note_keys").refuse("an object", keys)
    counted.add("columns", len(columns.union(keys or ())))
    return annotation


def check_specification(specification: object, document: str = "specification", address: str = "") -> dict[str, Any]:
    """Make sure that a document is an object; what it says is checked where it is read.

    Parameters and errors are those of :func:`check_studyset`.
    """
    return _mapping(_Location(document, address), specification)


def _mapping(location: _Location, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        location.refuse("an object", value)
    return value


def _mappings(location: _Location, values: object) -> Iterator[tuple[_Location, dict[str, Any]]]:
    """Walk a list of objects; null stands for an empty one."""
    if values is None:
        return
    if not isinstance(values, list):
        location.refuse("a list", values)
    for number, value in enumerate(values):
        here = location / number
        yield here, _mapping(here, value)


def _identified(location: _Location, value: dict[str, Any]) -> None:
    """Ask for an id: notes select analyses by it, and studies are distinguished by it."""
    if identifier(value) is None:
        (location / "id").refuse("an id", value.get("id"))
    if isinstance(value.get("name"), dict | list):
        (location / "name").refuse("a text", value["name"])


def _check_conditions(location: _Location, analysis: dict[str, Any]) -> None:
    for key in ("conditions", "weights"):
        if not isinstance(analysis.get(key), list | None):
            (location / key).refuse("a list", analysis[key])
    for number, condition in enumerate(analysis.get("conditions") or []):
        name = condition.get("name") if isinstance(condition, dict) else condition
        if isinstance(name, dict | list):
            (location / "conditions" / number).refuse("a condition with a name", name)
    for number, weight in enumerate(analysis.get("weights") or []):
        if not isinstance(weight, int | float | None) or (isinstance(weight, float) and not math.isfinite(weight)):
            (location / "weights" / number).refuse("a number", weight)


def _check_points(location: _Location, points: object, are_numbers: bool) -> None:
    for here, point in _mappings(location, points):
        if are_numbers and not _is_focus(point.get("coordinates")):
            (here / "coordinates").refuse(
                f"a list of three finite numbers between {-FARTHEST_MM:,} and {FARTHEST_MM:,} mm",
                str(point["coordinates"])[:60],
            )
        for key in ("space", "kind"):
            if isinstance(point.get(key), dict | list):
                (here / key).refuse("a word", point[key])
        if not isinstance(point.get("values"), list | None):
            (here / "values").refuse("a list", point["values"])


def _is_focus(coordinates: object) -> bool:
    """Whether coordinates are a location, or absent."""
    if coordinates is None or coordinates == []:
        return True
    if not isinstance(coordinates, list) or len(coordinates) != 3:
        return False
    return all(value is None for value in coordinates) or all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < FARTHEST_MM  # false for NaN
        for value in coordinates
    )


def _check_images(location: _Location, images: object) -> None:
    for here, image in _mappings(location, images):
        for key in ("url", "filename", "value_type", "space"):
            if not isinstance(image.get(key), str | None):
                (here / key).refuse("a text", image[key])
