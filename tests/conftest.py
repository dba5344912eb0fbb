"""What every test may use: recorded documents, a real result, and no network but this machine."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import browser as browsers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nimare.results import MetaResult
    from selenium.webdriver import Chrome

DATA = Path(__file__).parent / "data"

# nothing a test starts may find credentials or settings of the person who runs it
for name in [name for name in os.environ if name.startswith(("AWS_", "COMPOSE_RUNNER_"))]:
    del os.environ[name]
for name in ("COMPOSE_API_URL", "NEUROSTORE_API_URL", "NSC_KEY", "NV_KEY"):
    os.environ.pop(name, None)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test by its argument where the value is bytes: compressed ones hold the time of day."""
    return argname if isinstance(val, bytes) else None


def pytest_configure(config: pytest.Config) -> None:
    """Let tests talk to this machine only."""
    config.option.allow_hosts = "127.0.0.1,::1,localhost"
    config.option.allow_unix_socket = True


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of real exchanges with Compose and NeuroStore."""
    return DATA / "recorded"


@pytest.fixture(scope="session")
def expected() -> Path:
    """The folder of results that the recorded meta-analyses must have."""
    return DATA / "expected-at-alpha"


@pytest.fixture(scope="session")
def pain_result() -> MetaResult:
    """A real result: ALE with FDR of the 21 pain studies in NiMARE's package, with clusters and diagnostics."""
    from nimare.correct import FDRCorrector
    from nimare.meta.cbma import ALE
    from nimare.nimads import Studyset

    from compose_runner.analysis.compute.workflow import run_meta_analysis
    from compose_runner.local.demo import studies

    gc.freeze()  # nilearn collects garbage at every load, which is slow with NiMARE's modules around
    studyset = studies.pain_studyset()
    group = Studyset(studyset, target="mni152_2mm", annotations=[studies.annotation(studyset)]).combine_analyses()
    return run_meta_analysis(group, None, ALE(random_state=1), FDRCorrector(method="indep", alpha=0.05))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless Chromium, for what only a browser can tell of a report."""
    if not browsers.is_installed():
        pytest.skip("chromium and chromedriver are not installed")
    with browsers.chromium(tmp_path_factory.mktemp("chromium"), *browsers.SOFTWARE_WEBGL) as driver:
        yield driver
