"""Escape names and texts of documents and of a service's answers where they leave this program.

A name may hold any character: line breaks that make one log record look like two, escape sequences that a terminal
obeys, marks that reverse the order of what is read, formulas that a spreadsheet computes. HTML is escaped by the
report's template.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# Unicode's categories Cc, Cf, Cs, Zl, Zp and the two characters that are none: control characters, invisible marks and
# surrogates. Kept are U+200C and U+200D, without which Persian and Indic names are misspelt, and the number signs of
# Arabic and Kaithi, which are visible. Written out, since a look at every character takes longer than a command.
_INVISIBLE = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u070f\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001\U000e0020-\U000e007f"
)
_ANY = re.compile(f"[{_INVISIBLE}]")
# the same but for what separates lines and columns
_WITHIN_LINES = re.compile(f"(?![\n\t])[{_INVISIBLE}]")
# json.dumps has escaped the rest; a line break stands between tokens only
_IN_JSON = re.compile(f"(?!\n)[{_INVISIBLE}]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

# What a spreadsheet takes for the beginning of a formula, in its wide and small forms too, and behind what is not seen:
# spaces, joiners, selectors of variants, letters that are blank.
_FORMULA = re.compile(
    r"[\s\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]*"
    r"[=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b]"
)

# Windows opens a device under these names, in any directory and with any suffix.
_DEVICES = re.compile(
    r"(con|prn|aux|nul|com[0-9\xb9\xb2\xb3]|lpt[0-9\xb9\xb2\xb3]|conin\$|conout\$)\s*(\..*)?", re.IGNORECASE
)
_NOT_IN_NAMES = frozenset('<>:"\\|?*')
_NAME_BYTES = 200
_PATH_BYTES = 800


def visible(text: object, *, lines: bool = False) -> str:
    r"""Make every control character and invisible mark of a text visible, as ``\x1b`` or ``\u202e``.

    Parameters
    ----------
    text : object
        A text, or what :class:`str` makes one of.
    lines : bool
        Keep line breaks and tabs; by default the text becomes one line.
    """
    return (_WITHIN_LINES if lines else _ANY).sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    return _SHORT.get(character) or character.encode("unicode_escape").decode("ascii")


def json_text(document: Any, **options: Any) -> str:
    r"""Write JSON whose strings hold no control character and no invisible mark, which are escaped as ``\u009b``.

    Parameters
    ----------
    document : object
        What :func:`json.dumps` takes.
    **options
        Of :func:`json.dumps`. Other characters outside of ASCII are written as they are.
    """
    return _IN_JSON.sub(_escaped, json.dumps(document, **{**options, "ensure_ascii": False}))


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1] if found.group() != "\x7f" else r"\u007f"


def table_cell(text: str) -> str:
    """Make a text that a spreadsheet shows as it is, in one cell.

    Control characters and line breaks become visible. A text that a spreadsheet would take for a formula gets an
    apostrophe before it, as OWASP advises against CSV injection
    (https://owasp.org/www-community/attacks/CSV_Injection); a number does not.

    Parameters
    ----------
    text : str
        A cell that is a text. An ordinary name or id comes back unchanged.
    """
    shown = visible(text)
    return f"'{shown}" if _FORMULA.match(shown) and not _is_number(shown) else shown


def _is_number(text: str) -> bool:
    """Whether every spreadsheet reads a text as a number, or as none and no formula either."""
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text


def refuse_file_name(path: str) -> str | None:
    """Say why a path that somebody else made up is no name for a file below a directory of ours.

    Parameters
    ----------
    path : str
        Relative, with slashes.

    Returns
    -------
    str or None
        What is wrong with it, on any system that this program runs on; None when nothing is.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or re.match(r"[A-Za-z]:", path):
        return "leads out of the directory"
    if _ANY.search(path):
        return "has control characters or invisible marks"
    for part in parts:
        if part.startswith("."):
            return "is hidden"
        if _DEVICES.fullmatch(part):
            return "is a device on some systems"
        if _NOT_IN_NAMES.intersection(part) or part != part.rstrip(" ."):
            return "has characters that names of files cannot have on some systems"
        if len(part.encode()) > _NAME_BYTES:
            return "is too long"
    return "is too long" if len(path.encode()) > _PATH_BYTES else None


def same_file_names(paths: Iterable[str]) -> tuple[str, str] | None:
    """Find two paths that some systems take for one file, or of which one is the directory of the other.

    Letters of both cases, and composed and decomposed letters, are the same there.
    """
    first: dict[tuple[str, ...], str] = {}
    keyed = [
        (tuple(unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold()) for part in parts), path)
        for path in paths
        if (parts := PurePosixPath(path).parts)
    ]
    for key, path in keyed:
        if key in first:
            return first[key], path
        first[key] = path
    for key, path in keyed:
        for length in range(1, len(key)):
            if key[:length] in first:
                return first[key[:length]], path
    return None
