"""Still pictures of a statistical map at print quality, by array operations and Pillow alone.

:func:`lightbox` draws slices on the MNI template, :func:`glass_brain` maximum-intensity projections in the outline
of a brain, :func:`describe` says in words what they show, and :func:`png` makes a file of a picture.
"""

from __future__ import annotations

from compose_runner.analysis.write.pictures.description import describe
from compose_runner.analysis.write.pictures.projections import glass_brain
from compose_runner.analysis.write.pictures.sheet import png
from compose_runner.analysis.write.pictures.slices import lightbox

__all__ = ["describe", "glass_brain", "lightbox", "png"]
