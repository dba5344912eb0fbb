"""Releases of NeuroStore as parquet tables: what is checked before NiMARE reads them.

A few kilobytes of a parquet file can stand for gigabytes: a value that repeats is stored once, with how often. So the
tables are first read without being unfolded, some rows at a time, and what they would unfold to is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compose_runner.analysis.select.foci import FARTHEST_MM
from compose_runner.compose.json_documents import parse_json
from compose_runner.errors import DocumentMalformedError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow.parquet as pq
    from nimare.studyset import StudysetStore

# NeuroStore has some 30,000 studies with 2 million foci
MOST_ROWS = 20_000_000
# of one table; NiMARE makes a Python object of each, with 50 bytes and more
MOST_VALUES = 100_000_000
# of its texts (titles, abstracts); they are in memory at once
MOST_TEXT_BYTES = 2 << 30
_ROWS_AT_ONCE = 4096

_MANIFEST = "studyset.json"
_TABLES = ("studies", "analyses", "coordinates", "metadata", "texts", "images")
_IDS = {"studies": ("study_id",), "analyses": ("id", "study_id", "contrast_id")}
_ID = ("id",)
_WORDS = {"analyses": ("name",), "coordinates": ("space", "kind"), "images": ("space",)}
_AXES = ("x", "y", "z")


class _TableError(ValueError):
    """A table is not what NiMARE reads, or more than can be worked with."""


def read_release(folder: Path, document: str, address: str) -> StudysetStore:
    """Read the tables of a release, without its annotations.

    Parameters
    ----------
    folder : Path
        With ``studyset.json``, ``studies.parquet`` and so on, as they were unpacked.
    document, address : str
        What it is and where it came from, for the error.

    Returns
    -------
    nimare.studyset.StudysetStore
        As NiMARE reads it.

    Raises
    ------
    DocumentMalformedError
        They cannot be read, or unfold to more than can be worked with. Names table and column.
    """
    import pyarrow as pa
    from nimare.studyset import from_parquet

    if not isinstance(parse_json((folder / _MANIFEST).read_bytes(), document, address), dict):
        raise DocumentMalformedError(document, address, f"its {_MANIFEST} is not an object")
    # what a library raises for a file of others is not limited to what it documents
    expected = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
    try:
        for name in _TABLES:
            path = folder / f"{name}.parquet"
            if path.exists():
                _check_table(name, path)
        # a comparison group is selected by its studies alone, so its many annotations are not read
        return from_parquet(str(folder), load_annotations=False)
    except (*expected, pa.ArrowException) as error:
        raise DocumentMalformedError(document, address, f"its tables cannot be read: {error}") from error


def _check_table(name: str, path: Path) -> None:
    """Go through one table and raise for what is too much, or of a type that NiMARE does not expect."""
    import pyarrow.parquet as pq

    texts = [field.name for field in pq.read_schema(path) if _is_text(field.type)]
    # not unfolded: each text once, and which of them every row has
    with pq.ParquetFile(path, read_dictionary=texts) as table:
        _check_extent(name, table)
        text_bytes = values = 0
        for batch in table.iter_batches(_ROWS_AT_ONCE):
            for field, column in zip(batch.schema, batch.columns, strict=True):
                _check_column(name, field.name, column)
                text_bytes += _text_bytes(column)
                values += column.nbytes // 8
            if text_bytes > MOST_TEXT_BYTES or values > MOST_VALUES:
                raise _TableError(f"{name} unfolds to more than can be worked with")


def _check_extent(name: str, table: pq.ParquetFile) -> None:
    """Look at what the table says of itself before anything of it is read."""
    about = table.metadata
    groups = [about.row_group(index) for index in range(about.num_row_groups)]
    values = sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
    for what, found, most in (("rows", about.num_rows, MOST_ROWS), ("values", values, MOST_VALUES)):
        if found > most:
            raise _TableError(f"{name} has {found:,} {what}, and at most {most:,} can be worked with")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _check_column(table: str, name: str, column: Any) -> None:
    """Raise for a column that NiMARE compares, sorts or computes with when it is of another type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name in _IDS.get(table, _ID):
        if not _is_text(column.type) or column.null_count:
            raise _TableError(f"{table}.{name} is not a text in every row")
    elif name in _WORDS.get(table, ()):
        if not (_is_text(column.type) or pa.types.is_null(column.type)):
            raise _TableError(f"{table}.{name} is not a column of texts")
    elif table == "coordinates" and name in _AXES and not pa.types.is_null(column.type):
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise _TableError(f"{table}.{name} is not a column of numbers")
        farthest = pc.max(pc.abs(column.cast(pa.float64()))).as_py()
        # what is missing is a focus without a place, as null is in a document
        if farthest is not None and farthest >= FARTHEST_MM:
            raise _TableError(f"{table}.{name} has a number that is no place in millimetres: {farthest}")


def _text_bytes(column: Any) -> int:
    """Bytes of a column's texts, each counted as often as it stands there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    if not _is_text(column.type):
        return 0
    return int(pc.sum(pc.take(pc.binary_length(column.dictionary), column.indices)).as_py() or 0)
