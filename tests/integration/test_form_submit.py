"""Submit, the real function, takes whatever Compose's form stores."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import embedded_aws as embedded
from tests.support.form import FORM, form_document
from tests.support.job_fakes import SpecificationsInMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

ESTIMATORS = [name for kind in ("CBMA", "IBMA") for name in FORM[kind]]
IN_NIMARE = [name for name in ESTIMATORS if name != "Counter"]


@pytest.fixture(scope="module")
def submit() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, embedded.embedded_aws() as aws:
        embedded.prepare(aws)
        patch.setenv("MAX_RUNNING_JOBS", "1000")
        app = importlib.import_module("functions.submit.app")

        def answer(specification: Any) -> tuple[int, dict[str, Any], str]:
            patch.setattr(
                app, "ComposeSpecifications", lambda: SpecificationsInMemory({"specification": specification})
            )
            event = {
                "requestContext": {"http": {"method": "POST"}},
                "body": json.dumps({"meta_analysis_id": "mHtoV82Dmnm9"}),
            }
            reply = app.handler(event, None)
            body = json.loads(reply["body"])
            execution = aws.client("stepfunctions").describe_execution(executionArn=body["job_id"])
            return reply["statusCode"], body, json.loads(execution["input"])

        yield answer


@pytest.mark.parametrize("corrector", [None, *FORM["CORRECTOR"]])
@pytest.mark.parametrize("name", IN_NIMARE)
def test_every_pair_of_the_form_is_accepted_as_a_job_with_a_task(submit: Any, name: str, corrector: str | None) -> None:
    status, body, started = submit(form_document(name, corrector))

    assert (status, body["status"]) == (202, "SUBMITTED")
    assert "error" not in body
    assert started["task_size"] == "standard"
    assert "refused" not in started


def test_a_corrector_whose_arguments_mean_monte_carlo_gets_the_large_task(submit: Any) -> None:
    document = form_document("MKDADensity", "FWECorrector")
    document["corrector"]["args"] = {"voxel_thresh": 0.001, "n_iters": 5000, "vfwe_only": False, "**kwargs": {}}

    _, _, started = submit(document)

    assert started["task_size"] == "large"


def test_what_nimare_has_not_is_accepted_as_a_job_that_says_so(submit: Any) -> None:
    status, body, started = submit(form_document("Counter", "FDRCorrector"))

    assert status == 202
    assert "no estimator 'Counter'" in body["error"] == started["refused"]["cause"]
