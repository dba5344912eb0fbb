"""Pinned versions: what setup, the task's image, the functions' layer and the tools are installed from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).parents[2]
LAYER = Path("functions/dependencies/requirements.txt")
FILES = [LAYER, *(path.relative_to(REPOSITORY) for path in sorted((REPOSITORY / "requirements").glob("*.txt")))]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = (
    {"sys_platform": "linux", "platform_system": "Linux"},
    {"sys_platform": "darwin", "platform_system": "Darwin"},
)


def entries(path: Path) -> list[str]:
    """The requirements of a file, each with its hashes, as pip reads them."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (REPOSITORY / path).read_text())
    return [entry for entry in text.replace("\\\n", " ").splitlines() if entry.strip()]


def pins(path: Path, python: str, platform: dict[str, str]) -> dict[str, Version]:
    """Versions that a file gives to one Python on one platform, by name."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", **platform}
    found: dict[str, Version] = {}
    for entry in entries(path):
        requirement = Requirement(entry.partition(" --hash")[0])
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{path} has two versions of {name} for Python {python}"
            found[name] = Version(str(requirement.specifier).removeprefix("=="))
    return found


def wanted(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, with extras and those that they name."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    requirements = [Requirement(line) for line in lines]
    nested = {name for each in requirements if each.name == PROJECT["name"] for name in each.extras}
    return [each for each in requirements if each.name != PROJECT["name"]] + (wanted(*nested) if nested else [])


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_pin_names_one_version_by_hashes_and_no_address(path: Path) -> None:
    for entry in entries(path):
        assert re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.+!]+( ; [^-]+?)?( +--hash=sha256:[0-9a-f]{64})+ *", entry), (
            entry[:200]
        )
    assert "//" not in (REPOSITORY / path).read_text()


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform["sys_platform"])
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("path", "extras"), [("development", ["dev", "docs", "local"]), ("task", [])])
def test_pins_satisfy_what_the_project_asks_for(
    path: str, extras: list[str], python: str, platform: dict[str, str]
) -> None:
    pinned = pins(Path(f"requirements/{path}.txt"), python, platform)
    for requirement in wanted(*extras):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} is not pinned: make pins"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} is pinned at {pinned[name]}: make pins"


@pytest.mark.parametrize(
    "path", [LAYER, *(Path(f"requirements/{name}.txt") for name in ("task", "build", "uv"))], ids=str
)
def test_what_runs_has_the_versions_that_were_tested(path: Path) -> None:
    for python in PYTHONS:
        tested, pinned = (pins(each, python, PLATFORMS[0]) for each in (Path("requirements/development.txt"), path))
        assert pinned
        assert {name: tested[name] for name in pinned} == pinned


@pytest.mark.parametrize(
    "path", [LAYER, *(Path(f"requirements/{name}.txt") for name in ("sam", "checkov", "build", "uv"))], ids=str
)
def test_pins_satisfy_the_file_that_they_are_made_from(path: Path) -> None:
    pinned = pins(path, "3.13", PLATFORMS[0])
    lines = (REPOSITORY / path).with_suffix(".in").read_text().splitlines()
    for requirement in [Requirement(line) for line in lines if line and not line.startswith("#")]:
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), f"{requirement}: make pins"


def test_the_layer_holds_what_is_named_for_it_and_nothing_of_the_analysis() -> None:
    named = {
        line for line in (REPOSITORY / LAYER).with_suffix(".in").read_text().splitlines() if line[:1] not in ("", "#")
    }
    pinned = set(pins(LAYER, "3.13", PLATFORMS[0]))
    assert pinned >= {canonicalize_name(Requirement(line).name) for line in named}
    assert not pinned & {"nimare", "nilearn", "numpy", "pandas", "scipy", "numba", "click", "rich"}
