"""Look at a NIfTI file without unpacking more than its header promises.

A compressed map of a few megabytes can unfold to any size. The header, which stands at the beginning, says how many
voxels there are: it is read first, and what it promises is what is unpacked, in small pieces.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import numpy as np

# a brain at 0.7 mm (260 × 311 × 260) has 21 million voxels, the template of this package at 2 mm 0.9 million
MOST_VOXELS = 32 << 20
# real numbers of 1 to 8 bytes, by NIfTI's codes; complex numbers, colours and 16 bytes are no statistical map
_REAL_TYPES = frozenset({2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280})
_WIDEST = 8
# header and extensions (the largest known are histories of AFNI)
_MOST_BEFORE_DATA = 4 << 20
# tape blocks and the like that a program may have put behind the data
_MOST_AFTER_DATA = 4096
# what the file of the largest map can have
MOST_BYTES = _MOST_BEFORE_DATA + MOST_VOXELS * _WIDEST + _MOST_AFTER_DATA

GZIP_MAGIC = b"\x1f\x8b"
_HEADER_SIZES = (348, 540)
_READ_AT_ONCE = 1 << 20
# a compressed file can be many, one behind the other: bgzip makes one of every 64 kB, pigz one of every 128 kB
_MOST_MEMBERS = 20_000
# of a compressed file that unfold to nothing: a name in its header, zeros behind its end
_MOST_WITHOUT_CONTENT = 1 << 20
# a box around the brain mask of MNI152
_BRAIN_MM = ((-76.0, -112.0, -74.0), (76.0, 80.0, 86.0))


class NoMapError(ValueError):
    """A file is not a statistical map; the text is the reason, to follow the words "it is left out"."""


@dataclass(frozen=True, slots=True)
class _Promise:
    """What a header says of the data behind it."""

    dtype: np.dtype[Any]
    offset: int
    n_bytes: int
    slope: float
    intercept: float
    shape: tuple[int, ...]
    affine: np.ndarray[Any, Any]


class _Unfolding:
    """Reads a compressed file from its beginning to its end.

    :class:`gzip.GzipFile` takes names in headers, and zeros behind the end, byte by byte, and any number of empty
    members, so that a file of some megabytes holds it for minutes.

    Parameters
    ----------
    path : Path
        A gzip file (RFC 1952) of one or more members.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._members = 0
        self._member: Any = None
        self._waiting = b""
        self._without_content = 0
        self._place = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def seek(self, place: int) -> None:
        """Go on to a place that has not been read."""
        while self._place < place:
            if not self.read(min(place - self._place, _READ_AT_ONCE)):
                raise EOFError

    def read(self, size: int) -> bytes:
        """Read so many bytes, or those that are left."""
        found = bytearray()
        while len(found) < size and (self._waiting or self._fill()):
            if self._member is None:
                self._waiting = self._waiting.lstrip(b"\0") if self._members else self._waiting
                if not self._waiting:
                    continue
                self._members += 1
                if self._members > _MOST_MEMBERS:
                    raise NoMapError(f"its compressed file has more than {_MOST_MEMBERS:,} parts")
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            content = self._member.decompress(self._waiting, size - len(found))
            self._waiting = self._member.unconsumed_tail
            if self._member.eof:
                self._waiting, self._member = self._member.unused_data, None
            if content:
                found += content
                self._without_content = 0
        self._place += len(found)
        return bytes(found)

    def _fill(self) -> bool:
        """Take more of the file."""
        self._waiting = self._file.read(_READ_AT_ONCE)
        self._without_content += len(self._waiting)
        if self._without_content > _MOST_WITHOUT_CONTENT + _READ_AT_ONCE:
            raise NoMapError(f"{_MOST_WITHOUT_CONTENT:,} bytes of its compressed file hold nothing")
        if not self._waiting and self._member is not None:
            raise EOFError
        return bool(self._waiting)


@dataclass(slots=True)
class MapValues:
    """What is known of the values of a map that are finite and not zero.

    Parameters
    ----------
    lowest, highest : float
        Of all such values.
    in_brain : bool
        Whether one of them is at a place where a brain in MNI space can be.
    """

    lowest: float = math.inf
    highest: float = -math.inf
    in_brain: bool = False

    def add(self, values: np.ndarray[Any, Any], start: int, promise: _Promise) -> None:
        """Look at the values of the voxels from the number ``start`` on."""
        import numpy as np

        at = np.flatnonzero(np.isfinite(values) & (values != 0))
        if not at.size:
            return
        self.lowest = min(self.lowest, float(values[at].min()))
        self.highest = max(self.highest, float(values[at].max()))
        if not self.in_brain:
            voxels = np.unravel_index(at + start, promise.shape[:3], order="F")
            xyz = np.column_stack(voxels) @ promise.affine[:3, :3].T + promise.affine[:3, 3]
            self.in_brain = bool(((xyz >= _BRAIN_MM[0]) & (xyz <= _BRAIN_MM[1])).all(axis=1).any())


def check_map(path: Path) -> MapValues:
    """Make sure that a file is one volume of real numbers with a finite value other than zero somewhere.

    At most a few megabytes of it are in memory at a time.

    Parameters
    ----------
    path : Path
        NIfTI-1 or NIfTI-2, compressed or not.

    Returns
    -------
    MapValues
        What was seen of its values.

    Raises
    ------
    NoMapError
        With the reason.
    """
    with path.open("rb") as file:
        start = file.read(4)
    magics = tuple(size.to_bytes(4, order) for size in _HEADER_SIZES for order in ("little", "big"))
    compressed = start[:2] == GZIP_MAGIC
    if not compressed and start not in magics:
        raise NoMapError("what came is not a NIfTI file but, it seems, a page about it")
    try:
        with _Unfolding(path) if compressed else path.open("rb") as content:
            promise = _promise(content)
            found = _look_at_values(content, promise)
            if len(content.read(_MOST_AFTER_DATA + 1)) > _MOST_AFTER_DATA:
                raise NoMapError("it goes on behind the voxels that its header promises")
        if found.lowest > found.highest:
            raise NoMapError("it has no finite value other than zero")
        _openable(path)
    except (OSError, EOFError, zlib.error) as error:
        raise NoMapError("it cannot be read as NIfTI: the file is damaged or cut off") from error
    return found


def _promise(content: BufferedReader | _Unfolding) -> _Promise:
    import nibabel
    import numpy as np

    block = content.read(_HEADER_SIZES[0])
    if len(block) < _HEADER_SIZES[0]:
        raise EOFError
    kind = nibabel.Nifti1Header
    if block[:4] in tuple(_HEADER_SIZES[1].to_bytes(4, order) for order in ("little", "big")):
        kind = nibabel.Nifti2Header
        block += content.read(_HEADER_SIZES[1] - _HEADER_SIZES[0])
    try:
        header = kind(block)
        shape = tuple(int(extent) for extent in header.get_data_shape())
        code = int(header["datatype"])
        offset = float(header["vox_offset"])
        affine = header.get_best_affine()
        slope, intercept = header.get_slope_inter()  # None for no scaling
    except Exception as error:  # nibabel has many ways to say that a header is broken
        raise NoMapError("it cannot be read as NIfTI: its header is damaged") from error
    if len(shape) < 3 or any(extent != 1 for extent in shape[3:]):
        raise NoMapError(f"it is not one volume: its shape is {' × '.join(map(str, shape))}")
    if min(shape) < 1:
        raise NoMapError(f"it has no voxels: its shape is {' × '.join(map(str, shape))}")
    n_voxels = math.prod(shape)
    if n_voxels > MOST_VOXELS:
        raise NoMapError(f"it has {n_voxels:,} voxels, and at most {MOST_VOXELS:,} are read")
    if code not in _REAL_TYPES:
        raise NoMapError("its values are not real numbers of at most 8 bytes")
    if not len(block) <= offset <= _MOST_BEFORE_DATA:
        raise NoMapError("its header does not say where the voxels are")
    if not np.isfinite(affine).all() or not np.linalg.det(affine[:3, :3]):
        raise NoMapError("its header does not say where in the brain the voxels are")
    dtype = header.get_data_dtype()
    n_bytes = n_voxels * dtype.itemsize
    return _Promise(dtype, int(offset), n_bytes, 1.0 if slope is None else slope, intercept or 0.0, shape, affine)


def _openable(path: Path) -> None:
    """Open it as NiMARE will, which reads header and extensions; nothing in it is longer than what was read here."""
    import nibabel

    try:
        nibabel.load(path)
    except Exception as error:  # nibabel has many ways to say that a file is broken
        raise NoMapError("it cannot be read as NIfTI: its header is damaged") from error


def _look_at_values(content: BufferedReader | _Unfolding, promise: _Promise) -> MapValues:
    """Read exactly the data, and look at every value."""
    import numpy as np

    content.seek(promise.offset)
    left, start = promise.n_bytes, 0
    found = MapValues()
    while left:
        # whole values, since this is a multiple of every item's size; both kinds of file read all of it where they can
        block = content.read(min(left, _READ_AT_ONCE))
        if len(block) < min(left, _READ_AT_ONCE):
            raise EOFError
        left -= len(block)
        with np.errstate(all="ignore"):
            values = np.frombuffer(block, promise.dtype).astype(float) * promise.slope + promise.intercept
            found.add(values, start, promise)
        start += len(values)
    return found
