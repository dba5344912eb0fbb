"""The models of the contract."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import SecretStr, ValidationError

from compose_runner.progress import ProgressRecord, Stage
from compose_runner.service.contract import LogsReply, LogsRequest, SubmitRequest


def test_a_key_is_shown_nowhere_but_where_it_is_asked_for() -> None:
    request = SubmitRequest.model_validate({"meta_analysis_id": "abc", "nsc_key": "a-key"})

    assert "a-key" not in f"{request} {request!r} {request.nsc_key}"
    assert request.nsc_key == SecretStr("a-key")
    assert request.nsc_key is not None
    assert request.nsc_key.get_secret_value() == "a-key"


def test_an_error_shows_no_value() -> None:
    with pytest.raises(ValidationError) as raised:
        SubmitRequest.model_validate({"meta_analysis_id": "abc", "nsc_key": "a-key\n"})

    assert "a-key" not in str(raised.value)


def test_a_request_cannot_be_changed() -> None:
    request = LogsRequest(artifact_prefix="job")

    with pytest.raises(ValidationError, match="frozen"):
        request.artifact_prefix = "another"


def test_a_required_field_may_be_null_where_the_contract_says_so() -> None:
    assert LogsReply(artifact_prefix="job", events=[], next_token=None).next_token is None
    with pytest.raises(ValidationError):
        LogsReply.model_validate({"artifact_prefix": "job", "events": []})


def test_a_record_survives_a_copy_a_pickle_and_json() -> None:
    record = ProgressRecord(stage=Stage.FIT, completed=1, total=4)

    assert copy.copy(record) == record
    assert pickle.loads(pickle.dumps(record)) == record
    assert ProgressRecord.model_validate(record.model_dump(mode="json")) == record
