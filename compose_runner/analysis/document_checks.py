"""What a studyset, an annotation and a specification must look like before anything is computed from them.

NiMARE reads NIMADS documents leniently, but a wrong type deep inside ends in an error that names no place. Here the
place is named. What NiMARE accepts passes: lists and coordinates may be null or absent, ids may be numbers, a study
may have no analyses. Only the types that a later stage relies on are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from compose_runner.analysis.document_shapes import identifier
from compose_runner.errors import DocumentMalformedError

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Place:
    """Where in which document we are, to be named when something is wrong there."""

    __slots__ = ("address", "document", "path")

    def __init__(self, document: str, address: str, path: str = "") -> None:
        self.document, self.address, self.path = document, address, path

    def __truediv__(self, step: str | int) -> _Place:
        step = f"[{step}]" if isinstance(step, int) else f".{step}" if self.path else step
        return _Place(self.document, self.address, f"{self.path}{step}")

    def refuse(self, expected: str, found: object) -> NoReturn:
        shown = type(found).__name__ if isinstance(found, dict | list) else repr(found)[:60]
        where = f"{self.path} is" if self.path else "it is"
        raise DocumentMalformedError(self.document, self.address, f"{where} not {expected} but {shown}")


def check_studyset(studyset: object, document: str = "studyset", address: str = "") -> dict[str, Any]:
    """Make sure that a document is a studyset that NiMARE can read.

    Parameters
    ----------
    studyset : object
        The document.
    document, address : str
        What it is and where it came from, for the error.

    Returns
    -------
    dict
        The same document.

    Raises
    ------
    DocumentMalformedError
        Naming the place in the document.
    """
    here = _Place(document, address)
    studyset = _mapping(here, studyset)
    if not isinstance(studyset.get("studies"), list):
        (here / "studies").refuse("a list of studies", studyset.get("studies"))
    for place, own in _mappings(here / "annotations", studyset.get("annotations")):
        check_annotation({**own, "notes": own.get("notes") or []}, document, address, place.path)
    for study_place, study in _mappings(here / "studies", studyset["studies"]):
        _identified(study_place, study)
        for place, analysis in _mappings(study_place / "analyses", study.get("analyses")):
            _identified(place, analysis)
            _check_points(place / "points", analysis.get("points"))
            _check_images(place / "images", analysis.get("images"))
            _check_conditions(place, analysis)
    return studyset


def check_annotation(
    annotation: object, document: str = "annotation", address: str = "", path: str = ""
) -> dict[str, Any]:
    """Make sure that a document is an annotation: notes on analyses, and the keys of the notes.

    Parameters and errors are those of :func:`check_studyset`; ``path`` is where in the document the annotation is.
    """
    here = _Place(document, address, path)
    annotation = _mapping(here, annotation)
    for key in ("id", "name"):
        if isinstance(annotation.get(key), dict | list):
            (here / key).refuse("a text", annotation[key])
    if not isinstance(annotation.get("notes"), list):
        (here / "notes").refuse("a list of notes", annotation.get("notes"))
    for place, note in _mappings(here / "notes", annotation["notes"]):
        if not isinstance(note.get("note"), dict | None):
            (place / "note").refuse("an object", note["note"])
        for key in ("analysis", "study"):
            if isinstance(note.get(key), dict | list):
                (place / key).refuse("an id", note[key])
    keys = annotation.get("note_keys")
    if not isinstance(keys, dict | None):
        (here / "note_keys").refuse("an object", keys)
    return annotation


def check_specification(specification: object, document: str = "specification", address: str = "") -> dict[str, Any]:
    """Make sure that a document is an object; what it says is checked where it is read.

    Parameters and errors are those of :func:`check_studyset`.
    """
    return _mapping(_Place(document, address), specification)


def _mapping(place: _Place, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        place.refuse("an object", value)
    return value


def _mappings(place: _Place, values: object) -> Iterator[tuple[_Place, dict[str, Any]]]:
    """Walk a list of objects; null stands for an empty one."""
    if values is None:
        return
    if not isinstance(values, list):
        place.refuse("a list", values)
    for number, value in enumerate(values):
        here = place / number
        yield here, _mapping(here, value)


def _identified(place: _Place, value: dict[str, Any]) -> None:
    """Ask for an id: notes select analyses by it, and studies are told apart by it."""
    if identifier(value) is None:
        (place / "id").refuse("an id", value.get("id"))
    if isinstance(value.get("name"), dict | list):
        (place / "name").refuse("a text", value["name"])


def _check_conditions(place: _Place, analysis: dict[str, Any]) -> None:
    for key in ("conditions", "weights"):
        if not isinstance(analysis.get(key), list | None):
            (place / key).refuse("a list", analysis[key])
    for number, condition in enumerate(analysis.get("conditions") or []):
        name = condition.get("name") if isinstance(condition, dict) else condition
        if isinstance(name, dict | list):
            (place / "conditions" / number).refuse("a condition with a name", name)
    for number, weight in enumerate(analysis.get("weights") or []):
        if not isinstance(weight, int | float | None):
            (place / "weights" / number).refuse("a number", weight)


def _check_points(place: _Place, points: object) -> None:
    for here, point in _mappings(place, points):
        coordinates = point.get("coordinates")
        if coordinates is not None and not _is_triple(coordinates):
            (here / "coordinates").refuse("a list of three numbers", coordinates)
        for key in ("space", "kind"):
            if isinstance(point.get(key), dict | list):
                (here / key).refuse("a word", point[key])
        if not isinstance(point.get("values"), list | None):
            (here / "values").refuse("a list", point["values"])


def _is_triple(coordinates: object) -> bool:
    return (
        isinstance(coordinates, list)
        and (not coordinates or len(coordinates) == 3)
        and all(value is None or isinstance(value, int | float) for value in coordinates)
    )


def _check_images(place: _Place, images: object) -> None:
    for here, image in _mappings(place, images):
        for key in ("url", "filename", "value_type", "space"):
            if not isinstance(image.get(key), str | None):
                (here / key).refuse("a text", image[key])
