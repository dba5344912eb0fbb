"""Tables are NiMARE's byte for byte, unless an id would be computed or would break the table."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from compose_runner.analysis.write.tables import write_table
from tests.support import hostile_texts

if TYPE_CHECKING:
    from pathlib import Path

    from nimare.results import MetaResult


def test_ordinary_tables_have_nimares_bytes(pain_result: MetaResult, tmp_path: Path) -> None:
    pain_result.save_tables(str(tmp_path / "nimare"))
    names = [name for name, table in pain_result.tables.items() if table is not None]
    assert names
    for name in names:
        write_table(pain_result.tables[name], tmp_path / f"{name}.tsv")
        assert (tmp_path / f"{name}.tsv").read_bytes() == (tmp_path / "nimare" / f"{name}.tsv").read_bytes()


@pytest.mark.parametrize("dtype", [object, "string", "str", "category"])
def test_texts_are_safe_and_numbers_stay(dtype: str, tmp_path: Path) -> None:
    texts = list(dict.fromkeys([*hostile_texts.IN_A_SPREADSHEET, *hostile_texts.ON_A_TERMINAL[:4], "plain"]))
    table = pd.DataFrame(
        {
            "id": pd.Series(texts, dtype=dtype),
            "=x": -1.5,
            "mixed": pd.Series([-2.0, *["-2.0"] * (len(texts) - 1)], dtype=object),
            "empty": None,
        }
    )
    before = table.copy(deep=True)
    write_table(table, tmp_path / "t.tsv")
    pd.testing.assert_frame_equal(table, before)
    text = (tmp_path / "t.tsv").read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text), delimiter="\t"))
    assert len(rows) == text.count("\n") == len(texts) + 1
    assert rows[0] == ["id", "'=x", "mixed", "empty"]
    assert [row[1:] for row in rows[1:]] == [["-1.5", "-2.0", ""]] * len(texts)
    for row in rows[1:]:
        assert row[0].isprintable()
        assert not row[0].lstrip().startswith(("=", "+", "-", "@"))
