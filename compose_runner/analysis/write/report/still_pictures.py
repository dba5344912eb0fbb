"""The still pictures of a described map, in the page and as files."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.problems import explain_error, interruption_behind
from compose_runner.analysis.write.pictures import describe, glass_brain, lightbox, png

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from PIL.Image import Image

    from compose_runner.analysis.problems import Problems

_VIEWS: tuple[tuple[str, str, str, Callable[..., Image]], ...] = (
    ("slices", "Slices on the MNI template", "Slices of the brain", lightbox),
    ("glass", "Glass brain", "Views through a glass brain", glass_brain),
)


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Parameters
    ----------
    title : str
        What kind of picture it is.
    filename : str
        Of the same picture in the folder of figures.
    description : str
        What it shows, in words.
    content : str
        PNG, in base64; empty where it could not be drawn.
    width, height : int
        Pixels.
    problem : str
        Why there is no picture.
    """

    title: str
    filename: str
    description: str = ""
    content: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


def draw(
    image: Any, name: str, threshold: float, folder: Path, problems: Problems, *, quantity: str = "z"
) -> list[Picture]:
    """Draw a map as slices and as a glass brain; a picture that cannot be drawn costs itself.

    Parameters
    ----------
    image : nibabel image
        The map.
    name : str
        NiMARE's name of it, which begins the names of the files.
    threshold : float
        Least absolute value that is shown.
    folder : pathlib.Path
        Where the files go.
    problems : Problems
        What cannot be drawn is added.
    quantity : str
        What the values are.
    """
    found = []
    for ending, title, view, drawing in _VIEWS:
        filename = f"{name}_{ending}.png"
        try:
            picture = drawing(image, threshold, quantity=quantity)
            description = describe(image, threshold, view=view, quantity=quantity)
            content = png(picture, description)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / filename).write_bytes(content)
        except Exception as error:
            if (interruption := interruption_behind(error)) is not None:
                raise interruption from error
            reason = explain_error(error)
            problems.add(f"figure {filename}", reason)
            found.append(Picture(title, filename, problem=reason))
            continue
        encoded = base64.b64encode(content).decode()
        found.append(Picture(title, filename, description, encoded, picture.width, picture.height))
    return found
