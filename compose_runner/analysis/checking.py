"""Look at a job's inputs without computing: what ``compose-runner check`` does."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.audit.codes import finding
from compose_runner.analysis.compute.estimators import build
from compose_runner.analysis.compute.monte_carlo import MonteCarloOptions
from compose_runner.analysis.preparation import load_inputs
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.compose.environments import environment_named
from compose_runner.errors import ImageError, SelectionError, SpecificationError
from compose_runner.findings import Findings
from compose_runner.progress import Progress, Stage

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

# what ends a job before its inputs can be audited
_REFUSED = {
    SpecificationError: "specification-refused",
    SelectionError: "studies-not-selected",
    ImageError: "images-unusable",
}


@dataclass(frozen=True, slots=True)
class CheckedInputs:
    """What a look at the inputs found.

    Parameters
    ----------
    findings : Findings
        The gravest of them refuse the job.
    about : dict
        ``audit``, ``accounting``, ``studies`` and ``counts``, as ``metadata.json`` has them; ``audit`` alone when
        nothing could be selected.
    """

    findings: Findings
    about: dict[str, Any] = field(repr=False)


def check_inputs(
    meta_analysis_id: str | None,
    *,
    environment: str,
    bundle: str | os.PathLike[str] | None = None,
    allow_hosts: Sequence[str] = (),
    progress: Progress | None = None,
) -> CheckedInputs:
    """Fetch and select as a job does, audit, and stop there.

    Parameters
    ----------
    meta_analysis_id : str or None
        Id on Compose; only a label when ``bundle`` is given.
    environment : str
        Which Compose to talk to.
    bundle : path-like, optional
        Inputs from a disk.
    allow_hosts : sequence of str
        Hosts that the maps of a bundle from a disk may come from, wherever they are.
    progress : Progress, optional
        Told about the stages.

    Raises
    ------
    compose_runner.errors.ComposeRunnerError
        The documents cannot be had, or are none.
    """
    progress = progress or Progress()
    compose_environment = environment_named(environment)
    try:
        inputs, specification = load_inputs(
            meta_analysis_id, compose_environment, bundle, progress, MonteCarloOptions(), allow_hosts
        )
        from compose_runner.analysis import stages  # needs NiMARE, which is imported by now

        progress.start(Stage.SELECT)
        with tempfile.TemporaryDirectory(prefix="compose-runner-") as folder:
            studies = stages.select_studies(
                inputs, specification, compose_environment, ResultDirectory(folder), progress
            )
            build(specification)
            audited = stages.audit_inputs(studies)
            return CheckedInputs(audited.findings, audited.describe())
    except tuple(_REFUSED) as error:
        code = next(code for kind, code in _REFUSED.items() if isinstance(error, kind))
        findings = Findings([finding(code, (), 1, reason=str(error))])
        return CheckedInputs(findings, {"audit": findings.describe()})
    finally:
        progress.finish()
