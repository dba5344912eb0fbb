"""Write a result's tables as NiMARE does, with ids that a spreadsheet shows and does not compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compose_runner.escaping import table_cell

if TYPE_CHECKING:
    from pathlib import Path

CLUSTERS_FILENAME = "clusters.tsv"


def write_table(table: Any, path: Path) -> None:
    """Write a table as tab-separated values; in place of :meth:`nimare.results.MetaResult.save_tables`.

    A table whose texts are ordinary is written in NiMARE's own bytes; for all others see
    :func:`compose_runner.escaping.table_cell`.

    Parameters
    ----------
    table : pandas.DataFrame
        It is not changed.
    path : pathlib.Path
        The file.
    """
    safe(table).to_csv(path, sep="\t", index=False)


def safe(table: Any) -> Any:
    """Give a table whose texts, in its cells and in the names of its columns, are safe in a spreadsheet."""
    columns: dict[int, list[Any]] = {}
    for index in range(table.shape[1]):
        column = table.iloc[:, index]
        if column.dtype.kind not in "OUST" and str(column.dtype) not in ("str", "string", "category"):
            continue
        cells = [table_cell(cell) if isinstance(cell, str) else cell for cell in column]
        if any(new != old for new, old in zip(cells, column, strict=True) if isinstance(old, str)):
            columns[index] = cells
    names = [table_cell(name) if isinstance(name, str) else name for name in table.columns]
    if columns:
        table = table.copy()
        for index, cells in columns.items():
            table.isetitem(index, cells)
    if names != list(table.columns):
        table = table.set_axis(names, axis=1)
    return table
