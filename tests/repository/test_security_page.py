"""The page on security names tests that exist, and the rules that it states hold for every module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
MODULES = [
    path for package in ("compose_runner", "functions", "task") for path in sorted((REPOSITORY / package).rglob("*.py"))
]
# what runs code that is in its argument
RUNS_CODE = {
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "joblib.load",
    "read_pickle",
    "marshal.loads",
    "shelve.open",
}
# moto's own parse of a definition, made and read in one process
EXCEPTIONS = {("compose_runner/local/aws/moto_patches", "pickle.loads")}


def test_each_threat_has_a_test_that_is_named() -> None:
    table = PAGE.partition("## Each threat")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 30
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_the_page_names_exists(path: str, name: str) -> None:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/*]*test_[\w*]+\.py)`", PAGE))))
def test_a_file_of_tests_that_the_page_names_exists(name: str) -> None:
    assert list((REPOSITORY / "tests").rglob(name))


def calls_that_run_code(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = {name for name in called if name in RUNS_CODE or name.endswith(".read_pickle")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = {one.arg: ast.unparse(one.value) for one in node.keywords}
            if given.get("shell") == "True" or given.get("allow_pickle") == "True":
                found.add(ast.unparse(node))
            if ast.unparse(node.func) in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
                found.add(ast.unparse(node))
    return found


def test_nothing_is_loaded_that_could_run_code() -> None:
    found = {
        (path.relative_to(REPOSITORY).parent.as_posix(), call) for path in MODULES for call in calls_that_run_code(path)
    }
    assert found <= EXCEPTIONS
