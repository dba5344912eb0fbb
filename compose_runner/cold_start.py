"""Keep the garbage collector out of a function's start.

Importing botocore, pydantic and Powertools makes some 200,000 objects that live as long as the process; the collector
walks them again and again for nothing (a fifth of the processor time of a start). A handler's module imports this one
first, which turns the collector off, and calls :func:`finished` in its last line.
"""

from __future__ import annotations

import gc
import os

gc.disable()
# pydantic would read the metadata of every installed distribution in search of plugins, of which there are none
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def finished() -> None:
    """Everything is imported: exempt it from collection, and collect again from now on."""
    gc.freeze()
    gc.enable()
