"""Pages for a browser: each is one file with its style and script inside, and a policy that allows these and no others.

A page holds no text of a job. It asks its own address for JSON, like every client, and puts what it gets into the page
as text. Its files are read when the first browser asks, so that a cold start does not pay for them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parent
STYLE = "page.css"
_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*\Z", re.IGNORECASE)
_MAX_ACCEPT_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is sent.

    Parameters
    ----------
    html : str
        The document.
    headers : dict of str to str
        What its answer needs, the policy among it.
    """

    html: str
    headers: dict[str, str]


def prefers_page(accept: str | None) -> bool:
    """Whether a request is a browser's: it names HTML, and does not want JSON at least as much.

    Parameters
    ----------
    accept : str or None
        The header ``Accept``. ``*/*``, which most clients send, is no wish for a page.
    """
    if not accept or len(accept) > _MAX_ACCEPT_CHARACTERS:
        return False
    wanted: dict[str, float] = {}
    for entry in accept.split(","):
        kind, *parameters = entry.split(";")
        qualities = [float(found[1]) for one in parameters if (found := _QUALITY.match(one))]
        wanted[kind.strip().lower()] = qualities[0] if qualities else 1.0
    html = max(wanted.get("text/html", 0.0), wanted.get("application/xhtml+xml", 0.0))
    return html > wanted.get("application/json", 0.0)


@lru_cache(maxsize=8)
def read_page(name: str, folder: Path = _FOLDER) -> Page:
    """Put a page together.

    Parameters
    ----------
    name : str
        Its document is ``<name>.html``, its script ``<name>.js``; the style is common to all.
    folder : Path
        Where these two are.
    """
    script = folder / f"{name}.js"
    return make_page(
        (folder / f"{name}.html").read_text("utf-8"), script.read_text("utf-8") if script.exists() else None
    )


def make_page(document: str, script: str | None = None) -> Page:
    """Put style and script into a document, and allow these two alone.

    Parameters
    ----------
    document : str
        HTML with the lines ``<!-- style -->`` and, where there is a script, ``<!-- script -->``.
    script : str, optional
        JavaScript.
    """
    style = (_FOLDER / STYLE).read_text("utf-8")
    html = document.replace("<!-- style -->", f"<style>{style}</style>", 1)
    if script is not None:
        html = html.replace("<!-- script -->", f"<script>{script}</script>", 1)
    scripts = "'none'" if script is None else f"'{_hash(script)}'"
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src {scripts}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(
        html,
        {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Vary": "Accept",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
        },
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
