"""Plain text inside of Markdown."""

from __future__ import annotations

import re


def markdown(text: str) -> str:
    """Escape what Markdown, or HTML in it, would take for markup.

    Parameters
    ----------
    text : str
        Plain text.

    Returns
    -------
    str
        Text that is shown as it was.
    """
    escaped = re.sub(r"([\\`*_{}\[\]|~])", r"\\\1", text)
    escaped = re.sub(r"&(?=[#\w]+;)", "&amp;", escaped).replace("<", "&lt;")
    return re.sub(r"(?m)^(\s*)([#>+-])", r"\1\\\2", escaped)
