"""The models of the contract, on pydantic's engine."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from pydantic import ValidationError

from compose_runner.contract import LogsReply, LogsRequest, SubmitRequest
from compose_runner.model import Model, Secret, field
from compose_runner.progress import ProgressRecord, Stage


class Pair(Model):
    left: int = field({"type": "int"})
    right: list[int] = field({"type": "list"}, default_factory=list)


def test_a_key_is_shown_nowhere_but_where_it_is_asked_for() -> None:
    request = SubmitRequest.model_validate({"meta_analysis_id": "abc", "nsc_key": "a-key"})

    assert "a-key" not in f"{request} {request!r} {request.nsc_key}"
    assert request.nsc_key == Secret("a-key")
    assert request.nsc_key is not None
    assert request.nsc_key.get_secret_value() == "a-key"


def test_an_error_shows_no_value() -> None:
    with pytest.raises(ValidationError) as raised:
        SubmitRequest.model_validate({"meta_analysis_id": "abc", "nsc_key": "a-key\n"})

    assert "a-key" not in str(raised.value)


def test_a_request_cannot_be_changed() -> None:
    request = LogsRequest(artifact_prefix="job")

    with pytest.raises(AttributeError):
        request.artifact_prefix = "another"


@pytest.mark.parametrize("fields", [{}, {"left": "x"}, {"left": 1, "right": 2}])
def test_a_missing_or_wrong_field_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Pair.model_validate(fields)
    with pytest.raises(ValidationError):
        Pair(**fields)


def test_a_required_field_may_be_null_where_the_contract_says_so() -> None:
    assert LogsReply(artifact_prefix="job", events=[], next_token=None).next_token is None
    with pytest.raises(ValidationError):
        LogsReply.model_validate({"artifact_prefix": "job", "events": []})


def test_each_instance_has_a_default_of_its_own() -> None:
    assert Pair(left=1).right is not Pair(left=1).right
    assert Pair.model_construct(left=1) == Pair(left=1)


def test_only_fields_that_were_given_are_told_where_that_is_asked_for() -> None:
    assert Pair(left=1).model_dump(exclude_unset=True) == {"left": 1}
    assert (
        Pair(left=1).model_copy(update={"right": [2]}).model_dump_json(exclude_unset=True) == '{"left":1,"right":[2]}'
    )


def test_a_record_survives_a_copy_a_pickle_and_json() -> None:
    record = ProgressRecord(stage=Stage.FIT, completed=1, total=4)

    assert copy.copy(record) == record
    assert pickle.loads(pickle.dumps(record)) == record
    assert ProgressRecord.model_validate(record.model_dump(mode="json")) == record


def test_functions_start_without_the_part_of_pydantic_that_reads_annotations() -> None:
    program = (
        "import sys\n"
        "from functions.logs import app as logs; from functions.results import app as results\n"
        "from functions.status import app as status; from functions.submit import app as submit\n"
        "sys.exit('pydantic' in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
