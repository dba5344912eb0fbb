"""What others read before they cite, report or contribute: these files agree with the package."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from compose_runner import __version__

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
ZENODO = json.loads((REPOSITORY / ".zenodo.json").read_text())
WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
PAGES = [path for path in sorted(REPOSITORY.glob("*.md")) if path.name != "CHANGELOG.md"]


def test_the_citation_is_that_of_this_version() -> None:
    assert CITATION["version"] == __version__
    assert CITATION["title"] == ZENODO["title"] == PROJECT["name"]
    assert CITATION["license"] == ZENODO["license"] == PROJECT["license"]
    assert [author["name"] for author in CITATION["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert [creator["name"] for creator in ZENODO["creators"]] == [author["name"] for author in CITATION["authors"]]
    cited = {reference["doi"] for reference in CITATION["references"]}
    assert {related["identifier"] for related in ZENODO["related_identifiers"]} == cited


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_the_makefile_has_with_pinned_actions(path: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):.*##", (REPOSITORY / "Makefile").read_text()))
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
            for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", "")):
                assert target in targets, f"the Makefile has no target {target}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_name_targets_and_files_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    targets = {
        target
        for makefile in ("Makefile", "deploy.mk")
        for target in re.findall(r"(?m)^([a-z-]+):.*##", (REPOSITORY / makefile).read_text())
    }
    for target in re.findall(r"(?m)(?:`|^)make ([a-z][a-z-]+)", text):
        assert target in targets, f"the Makefile has no target {target}"
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
        assert (REPOSITORY / link).exists(), f"{link} does not exist"
