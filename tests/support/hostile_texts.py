"""Texts that a careless program executes, and documents in which every text that may be any text is one of them."""

from __future__ import annotations

import zlib
from typing import Any

# what a browser would leave behind if it ran one of them
MARK = "data-executed"
_CODE = f"document.documentElement.setAttribute('{MARK}','1')"

IN_HTML = (
    f'<img src=x onerror="{_CODE}">',
    f"</script><script>{_CODE}</script>",
    f'"><svg onload="{_CODE}">',
    f"' autofocus onfocus='{_CODE}'",
    f"</pre></textarea></title><script>{_CODE}</script>",
    f'<a href="javascript:{_CODE}">x</a>',
    f"javascript:{_CODE}",
    f'<iframe srcdoc="<script>parent.{_CODE}</script>"></iframe>',
    "<!--shared-0-->",
    '<base href="//127.0.0.1:9/"><meta http-equiv=refresh content="0;url=//127.0.0.1:9/">',
    "{{ 7 * 7 }}{% raw %}&lt;b&gt;&amp;&#60;b&#62;",
)
ON_A_TERMINAL = (
    "\x1b]0;PWNED\x07\x1b[31m",
    "\x9b2J\x90q\x9c",
    "a\r\nb\x0bc\x0c\x08\x7f\x00",
    "\u202egnp.\u2066x\u2069\u200b\ufeff\u2028\u2029\x85",
    "\U000e0041\ud800",
    "[red]alarm[/red] [link=file:///etc/passwd]x[/link]",
)
IN_A_SPREADSHEET = (
    '=HYPERLINK("http://127.0.0.1:9")',
    "@SUM(1)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "\t=1",
    "\r=1",
    "  =1",
)
IN_LATEX = (r"\input{/etc/passwd}", "%$#_{}~^", "$\\frac{$")
IN_A_FILE_NAME = ("../../up", "/etc/passwd", "a/b", "CON", "x" * 300)

EVERYWHERE = (*IN_HTML, *ON_A_TERMINAL[:4], *IN_A_SPREADSHEET, *IN_LATEX, *IN_A_FILE_NAME)

# texts that say what a document is: with another one it would not be read at all
WORDS = frozenset({"space", "value_type", "url", "filename", "type", "args", "note_keys"})


def poisoned(document: Any, payloads: tuple[str, ...] = EVERYWHERE, *, words: frozenset[str] = WORDS) -> Any:
    """Copy a document and add a payload to each of its texts, the same one to equal texts, so that ids still fit.

    Parameters
    ----------
    document : dict, list or value
        A studyset, an annotation or a specification.
    payloads : tuple of str
        What is added; in front where it has to begin the text.
    words : frozenset of str
        Keys below which everything stays as it is.
    """
    if isinstance(document, dict):
        return {
            key: value if key in words else poisoned(value, payloads, words=words) for key, value in document.items()
        }
    if isinstance(document, list):
        return [poisoned(value, payloads, words=words) for value in document]
    if not isinstance(document, str):
        return document
    payload = payloads[zlib.crc32(document.encode()) % len(payloads)]
    return f"{payload}{document}"


def with_hostile_words(documents: dict[str, Any], payloads: tuple[str, ...] = IN_HTML) -> dict[str, Any]:
    """Add what a run goes on with although its words are payloads: maps that are left out, spaces, types of columns.

    Parameters
    ----------
    documents : dict
        Studyset, annotation and specification, which are changed.
    payloads : tuple of str
        Each stands in each of the places.
    """
    analyses = [analysis for study in documents["studyset"]["studies"] for analysis in study["analyses"]]
    for number, payload in enumerate(payloads):
        analysis = analyses[number % len(analyses)]
        images = analysis["images"] = list(analysis.get("images") or [])
        maps: list[dict[str, Any]] = [
            {"value_type": payload, "space": payload, "url": payload, "filename": payload},
            {"value_type": "T map", "space": payload, "url": f"https://127.0.0.1/{payload}.nii.gz", "filename": None},
            {"value_type": "Variance", "space": "MNI", "url": None, "filename": f"{payload}.nii.gz"},
            {"value_type": "Beta map", "space": "MNI", "url": f"http://[{payload}]/z.nii", "filename": payload},
        ]
        images += [{"id": f"{payload}{kind}", **words} for kind, words in enumerate(maps)]
        for image in images:
            if image["space"] is None or "MNI" in image["space"]:
                image["space"] = f"{payload}MNI" if number % 2 else image["space"]
        documents["annotation"]["note_keys"] |= {payload: {"type": payload, "order": number, "default": payload}}
    return documents
