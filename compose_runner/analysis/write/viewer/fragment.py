"""The part of a page that is the viewer, with everything it needs inside of it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import jinja2
from markupsafe import Markup

from compose_runner.analysis.write.atlases import atlases
from compose_runner.analysis.write.pictures.colours import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class ViewerMap:
    """A map that a reader can choose.

    Parameters
    ----------
    title : str
        What the list of maps says; plain text.
    content : bytes
        The file as it was computed: NIfTI, gzip-compressed. It goes into the page as it is.
    kind : {"z", "p", "logp", "other"}
        What the values are: decides how p is made of them.
    quantity : str
        Name of the values: ``"z"``, ``"ALE"``.
    threshold : float
        Least absolute value that is shown at first.
    tails : {1, 2}
        Whether p of a z is that of a one-tailed or of a two-tailed test.
    """

    title: str
    content: bytes
    kind: Literal["z", "p", "logp", "other"] = "z"
    quantity: str = "z"
    threshold: float = 0.0
    tails: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        """Refuse what a browser could not unpack."""
        if not self.content.startswith(_GZIP):
            raise ValueError(f"the map {self.title!r} is not a gzip-compressed file")


@dataclass(frozen=True)
class Viewer:
    """The viewer for a page.

    Parameters
    ----------
    html : markupsafe.Markup
        Goes where the viewer shall be, once in a page.
    script_sources, style_sources : tuple of str
        Hashes that the page's Content-Security-Policy must allow, as ``'sha256-...'`` with their quotation marks.
    """

    html: Markup
    script_sources: tuple[str, ...]
    style_sources: tuple[str, ...]

    @property
    def policy(self) -> str:
        """The least Content-Security-Policy with which the viewer works."""
        return content_security_policy(self.script_sources, self.style_sources)


def content_security_policy(script_sources: Iterable[str], style_sources: Iterable[str]) -> str:
    """Make the policy of a page that holds all it shows: nothing is fetched, nothing runs but what is named.

    Parameters
    ----------
    script_sources, style_sources : iterable of str
        As :func:`source_hash` gives them.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(script_sources)}",
            f"style-src {' '.join(style_sources)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def source_hash(text: str) -> str:
    """Give the source by which a policy allows a script or a style sheet, with its quotation marks."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def viewer(
    maps: Sequence[ViewerMap],
    *,
    first: int = 0,
    start: tuple[float, float, float] = (0.0, 0.0, 0.0),
    stills: Markup | str = "",
) -> Viewer:
    """Make the viewer.

    In the page, ``window.viewer.moveTo(x, y, z)`` moves the cross-hair (mm), and so does a click on any element with
    ``data-xyz="x y z"``; that element, and others with the same place, then have ``aria-current="location"``. Let it
    be a button, so that it is reached by keyboard.

    Parameters
    ----------
    maps : sequence of ViewerMap
        At least one.
    first : int
        Which map is shown at first.
    start : tuple of 3 floats
        Where the cross-hair is at first, in mm: best the strongest peak.
    stills : markupsafe.Markup or str
        Pictures that are shown without script, without WebGL2, and on paper. A plain string is escaped.

    Returns
    -------
    Viewer
        The part of the page, and what its Content-Security-Policy must allow.

    Raises
    ------
    ValueError
        Without a map, or when `first` is not one of them.
    """
    if not 0 <= first < len(maps):
        raise ValueError(f"there is no map number {first} among {len(maps)}")
    about = json.loads(_text("niivue.json"))
    config = {
        "start": list(start),
        "warm": POSITIVE[::17].tolist(),
        "cold": NEGATIVE[::17].tolist(),
        "maps": [
            {"title": m.title, "kind": m.kind, "quantity": m.quantity, "threshold": m.threshold, "tails": m.tails}
            for m in maps
        ],
        "atlases": [{"names": atlas.names} for atlas in atlases()],
    }
    html = _template().render(
        maps=[{"title": m.title, "content": _base64(m.content)} for m in maps],
        first=first,
        atlases=_atlases(),
        stills=stills,
        niivue=about,
        niivue_licence=_text("NIIVUE-LICENSE.txt"),
        template_licence=_text("TEMPLATE-LICENSE.txt"),
        config=_json(config),
        script=_packed("niivue.js.gz"),
        template=_packed("template.nii.gz"),
        style=Markup(_text("viewer.css")),
        program=Markup(_text("viewer.js")),
    )
    return Viewer(
        html=Markup(html),
        script_sources=(source_hash(_text("viewer.js")), f"'{about['script']}'"),
        style_sources=(source_hash(_text("viewer.css")),),
    )


def _json(value: Any) -> Markup:
    """JSON that no parser of HTML takes for markup."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _base64(content: bytes) -> Markup:
    return Markup(base64.b64encode(content).decode())


@cache
def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


@cache
def _packed(name: str) -> Markup:
    return _base64((files(__package__) / name).read_bytes())


@cache
def _atlases() -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "name": atlas.name,
            "title": atlas.title,
            "citation": atlas.citation,
            "licence": atlas.licence,
            "grid": _base64(atlas.grid()),
        }
        for atlas in atlases()
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_text("fragment.html.jinja"))
