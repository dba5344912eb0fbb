"""What a job and each of its shards begin with: inputs, NiMARE, the permutations that are to come."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.compute.engine.sessions import ShardFinished
from compose_runner.analysis.compute.estimators import refuse_missing_packages
from compose_runner.analysis.compute.prediction import predict
from compose_runner.analysis.fetch.bundle import Bundle, fetch_bundle
from compose_runner.analysis.fetch.bundle_files import load_bundle, load_received_bundle
from compose_runner.analysis.interpreter import importing
from compose_runner.compose.addresses import allowed_hosts
from compose_runner.errors import AnalysisError, ComposeRunnerError
from compose_runner.progress import Progress, Stage
from compose_runner.specification.estimators import KERNEL_ARGUMENT, correction_methods
from compose_runner.specification.parsing import Specification, parse_specification
from compose_runner.specification.signatures import signatures

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from compose_runner.analysis.compute.monte_carlo import MonteCarloOptions, MonteCarloRun
    from compose_runner.analysis.options import JobOptions
    from compose_runner.analysis.write.result_directory import ResultDirectory
    from compose_runner.compose.environments import Environment

# arguments that size what is in memory
_SIZES = frozenset({"n_iters", "difference_iterations", "n_subsamples", "n_histogram_bins", "r"})

# what a library raises by mistake, and texts about its arrays
_NO_REASONS = (LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, NameError, NotImplementedError)
_OF_ARRAYS = re.compile(
    r"\b(axis|axes|index|indices|dtype|shapes?|broadcast|operands?|dimensions?|arrays?|NoneType|None)\b"
)

log = logging.getLogger(__name__)


def load_inputs(
    meta_analysis_id: str | None,
    environment: Environment,
    bundle: str | os.PathLike[str] | None,
    progress: Progress,
    monte_carlo: MonteCarloOptions,
    allow_hosts: Sequence[str] | None = (),
) -> tuple[Bundle, Specification]:
    """Get the inputs while NiMARE is imported, with all that :mod:`compose_runner.analysis.stages` needs of it.

    Parameters
    ----------
    meta_analysis_id : str or None
        Id on Compose; only a label when ``bundle`` is given.
    environment : Environment
        Which Compose to ask.
    bundle : path-like or None
        Inputs from a disk.
    progress : Progress
        Called for the stage.
    monte_carlo : MonteCarloOptions
        Knows whether an earlier task of the job has kept its inputs.
    allow_hosts : sequence of str or None
        Hosts that the maps of a bundle from a disk may come from, wherever they are; None for a bundle that was sent,
        which may name public addresses and nothing else.

    Returns
    -------
    inputs : Bundle
    specification : Specification
        Checked.
    """
    progress.start(Stage.FETCH)
    with ThreadPoolExecutor(1, thread_name_prefix="imports") as thread:
        importing_nimare = thread.submit(_import_stages)

        def checked(document: dict[str, Any]) -> Specification:
            specification = parse_specification(document)
            monte_carlo.limits.check_iterations(specification)
            refuse_missing_packages(specification)
            return specification

        inputs = monte_carlo.inputs() or _inputs(meta_analysis_id, environment, bundle, checked, allow_hosts)
        specification = checked(inputs.specification)
        importing_nimare.result()
        return inputs, specification


def plan_permutations(
    monte_carlo: MonteCarloOptions,
    inputs: Bundle,
    specification: Specification,
    counts: Mapping[str, Mapping[str, int]],
    options: JobOptions,
    directory: ResultDirectory,
    progress: Progress,
) -> MonteCarloRun:
    """Predict a job's permutations, so that the time that is left is known, and prepare them."""
    prediction = predict(specification, counts.values(), engine=options.engine)
    if monte_carlo.n_shards == 1:
        for run in prediction.runs:
            progress.expect(run.stage, run.seconds(options.n_cores))
    return monte_carlo.prepare(
        inputs,
        directory.path,
        progress,
        prediction,
        seed=options.seed,
        engine=options.engine,
        n_cores=options.n_cores,
    )


@contextmanager
def translating_errors(specification: Specification) -> Iterator[None]:
    """Turn what NiMARE raises while it computes into an error that says what was being computed."""
    try:
        yield
    except (ComposeRunnerError, ShardFinished, OSError):
        raise
    except MemoryError as error:
        raise AnalysisError(_memory_is_short(specification)) from error
    except Exception as error:
        log.debug("The computation failed", exc_info=True)
        raise AnalysisError(f"{specification.estimator.name} could not be computed{_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Give the reason that NiMARE states; what Python says of a failure within it helps nobody but its authors."""
    text = str(error).strip()
    if not text or isinstance(error, _NO_REASONS) or _OF_ARRAYS.search(text):
        return (
            " from these inputs with these arguments: NiMARE failed, and does not say why. The log has the details at "
            "level DEBUG."
        )
    return f": {text}"


def _memory_is_short(specification: Specification) -> str:
    """Say what asks for the memory: arguments that are larger than NiMARE's default, and else the studies."""
    known = signatures()
    estimator, corrector = specification.estimator, specification.corrector
    kernel = str(estimator.args.get(KERNEL_ARGUMENT) or known.estimators[estimator.name].kernel)
    parameters = dict(known.estimators[estimator.name].parameters)
    parameters |= {f"kernel__{name}": one for name, one in known.kernels.get(kernel, {}).items()}
    methods = {} if corrector is None else correction_methods(corrector.name, known.estimators[estimator.name])
    asked = [(name, value, parameters.get(name)) for name, value in estimator.args.items()]
    if corrector is not None:
        asked += [(name, value, methods[corrector.method].get(name)) for name, value in corrector.args.items()]
    large = [
        f"{name} {value:,} (NiMARE's default is {parameter.default:,})"
        for name, value, parameter in asked
        if parameter is not None and name.rpartition("__")[2] in _SIZES and _is_larger(value, parameter.default)
    ]
    if large:
        advice = f"What asks for so much is {' and '.join(large)}."
    else:
        advice = "What asks for so much is the number of studies and foci."
    return f"{estimator.name} needs more memory than there is. {advice}"


def _is_larger(value: object, default: object) -> bool:
    return isinstance(value, int | float) and isinstance(default, int | float) and value > default


def _inputs(
    meta_analysis_id: str | None,
    environment: Environment,
    bundle: str | os.PathLike[str] | None,
    check: Callable[[dict[str, Any]], object],
    allow_hosts: Sequence[str] | None,
) -> Bundle:
    if bundle is not None and allow_hosts is None:
        return load_received_bundle(bundle, meta_analysis_id)
    if bundle is not None:
        try:
            hosts = allowed_hosts(allow_hosts or ())
        except ValueError as error:
            raise AnalysisError(f"Maps cannot be allowed to come from everywhere that was named: {error}.") from error
        return load_bundle(bundle, meta_analysis_id, hosts)
    if meta_analysis_id is None:
        raise AnalysisError("There is nothing to run: give the id of a meta-analysis, or a bundle from disk.")
    # checked as soon as it is here: a specification that cannot run costs no download of its studyset
    return fetch_bundle(meta_analysis_id, environment, check=check)


def _import_stages() -> None:
    """Import NiMARE, and what a job needs of it."""
    with importing():
        import compose_runner.analysis.stages  # noqa: F401 - so that it is there when the inputs are
