"""Only what is signed with the secret key of this start is served, and only as it was signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("moto", reason="needs the local extra")

import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from moto.ecs.exceptions import ECSException

from compose_runner.local.aws.overrides import checked_environment, override_names
from compose_runner.local.aws.request_signatures import AccessKeys, SignatureRefusedError, check_headers, check_query

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = AccessKeys.random()
HOST = "127.0.0.1:4711"
BODY = b'{"a": "b"}'


def signed(
    service: str, keys: AccessKeys = KEYS, target: str = "/b/results/a%20b?list-type=2&prefix=x%2Fy"
) -> dict[str, Any]:
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    request = AWSRequest("POST", f"http://{HOST}{target}", {"x-amz-target": "T", "X-Amz-Meta-A_b": "c"}, BODY)
    kind(Credentials(keys.access_key, keys.secret_key), service, "us-east-1").add_auth(request)
    headers = {name.lower(): str(value) for name, value in request.headers.items()}
    return {"method": "POST", "target": target, "headers": {"host": HOST, **headers}, "body": BODY}


@pytest.mark.parametrize("service", ["s3", "ecs", "states", "logs", "ssm", "ec2"])
def test_what_botocore_signs_is_served(service: str) -> None:
    check_headers(KEYS, **signed(service))


def test_a_request_whose_body_is_signed_by_its_header_is_served_before_the_body_is_read() -> None:
    check_headers(KEYS, **{**signed("s3"), "body": None})
    with pytest.raises(SignatureRefusedError):
        check_headers(KEYS, **{**signed("ecs"), "body": None})


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "method": lambda request: request.update(method="DELETE"),
    "path": lambda request: request.update(target="/c"),
    "query": lambda request: request.update(target=f"{request['target']}&a=b"),
    "body": lambda request: request.update(body=b"{}"),
    "host": lambda request: request["headers"].update(host="127.0.0.1:1"),
    "target": lambda request: request["headers"].update({"x-amz-target": "Other"}),
    "header left out": lambda request: request["headers"].pop("x-amz-target"),
    "time": lambda request: request["headers"].update({"x-amz-date": f"{datetime.now(UTC):%Y%m%d}T000000Z"}),
    "no time": lambda request: request["headers"].pop("x-amz-date"),
    "no signature": lambda request: request["headers"].pop("authorization"),
    "other algorithm": lambda request: request["headers"].update(authorization="AWS k:s"),
    "nothing signed": lambda request: request["headers"].update(
        authorization=request["headers"]["authorization"].replace("host;", "")
    ),
    "signature of zeros": lambda request: request["headers"].update(
        authorization=request["headers"]["authorization"][:-64] + "0" * 64
    ),
}


@pytest.mark.parametrize("what", list(CHANGES))
def test_a_signed_request_that_was_changed_is_refused(what: str) -> None:
    request = signed("ecs")
    CHANGES[what](request)
    with pytest.raises(SignatureRefusedError):
        check_headers(KEYS, **request)


@pytest.mark.parametrize(
    "keys", [AccessKeys(KEYS.access_key, "embedded"), AccessKeys("embedded", KEYS.secret_key), AccessKeys.random()]
)
def test_a_request_that_somebody_else_signed_is_refused(keys: AccessKeys) -> None:
    with pytest.raises(SignatureRefusedError):
        check_headers(KEYS, **signed("ecs", keys))


def test_an_old_request_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for hours in (-1, 1):
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda hours=hours: now(timedelta(hours=hours)))
        with pytest.raises(SignatureRefusedError, match="old"):
            check_headers(KEYS, **signed("ecs"))


def now(later: timedelta = timedelta()) -> datetime:
    return datetime.now(UTC) + later


def presigned(expires: int = 900, method: str = "get_object", **parameters: str) -> str:
    client: Any = botocore.session.Session().create_client(
        "s3",
        "us-east-1",
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
        endpoint_url=f"http://{HOST}",
        config=Config(signature_version="s3v4"),
    )
    wanted = {"Bucket": "b", "Key": "results/a b/ü=(1).nii.gz", **parameters}
    url = urlsplit(client.generate_presigned_url(method, wanted, ExpiresIn=expires))
    return f"{url.path}?{url.query}"


def test_a_presigned_address_is_served_until_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    check_query(KEYS, presigned(), HOST)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now(-timedelta(hours=2)))
    check_query(KEYS, presigned(3 * 3600), HOST)
    with pytest.raises(SignatureRefusedError, match="no longer valid"):
        check_query(KEYS, presigned(3600), HOST)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now(timedelta(days=1)))
    with pytest.raises(SignatureRefusedError):
        check_query(KEYS, presigned(), HOST)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a%20b", "a%20c"),
        ("/b/", "/c/"),
        ("X-Amz-Expires=900", "X-Amz-Expires=901"),
        ("X-Amz-Expires=900", "X-Amz-Expires=999999999999"),
        ("X-Amz-Expires=900", "X-Amz-Expires=-1"),
        ("X-Amz-Expires=900", "X-Amz-Expires=900&X-Amz-Expires=900"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="),
        ("%2Fs3%2F", "%2Fecs%2F"),
        ("AWS4-HMAC-SHA256", "AWS"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        ("X-Amz-Signature=", "X="),
        pytest.param(KEYS.access_key, "EMBEDDED", id="another access key"),
    ],
)
def test_a_presigned_address_that_was_changed_is_refused(old: str, new: str) -> None:
    address = presigned()
    assert old in address
    with pytest.raises(SignatureRefusedError):
        check_query(KEYS, address.replace(old, new), HOST)


def test_a_presigned_address_is_for_one_host_and_for_reading() -> None:
    with pytest.raises(SignatureRefusedError):
        check_query(KEYS, presigned(), "localhost:4711")
    for method in ("put_object", "delete_object"):
        with pytest.raises(SignatureRefusedError):
            check_query(KEYS, presigned(method=method), HOST)


def test_a_secret_is_new_and_not_shown() -> None:
    keys = [AccessKeys.random() for _ in range(100)]
    assert len({pair.secret_key for pair in keys}) == len({pair.access_key for pair in keys}) == 100
    assert all(pair.secret_key not in repr(pair) and pair.access_key not in pair.secret_key for pair in keys)


# -- what a launch may change -------------------------------------------------------------------------------------

DEFINITION = {"environment": [{"name": "LOG_LEVEL", "value": "INFO"}]}
NAMES = frozenset({"ARTIFACT_PREFIX", "N_CORES"})


def overriding(**variables: str) -> dict[str, Any]:
    return {"environment": [{"name": name, "value": value} for name, value in variables.items()]}


def test_a_launch_sets_what_the_state_machine_sets() -> None:
    environment = checked_environment(DEFINITION, overriding(ARTIFACT_PREFIX="a"), NAMES)
    assert environment == {"LOG_LEVEL": "INFO", "ARTIFACT_PREFIX": "a"}


@pytest.mark.parametrize("names", [NAMES, None])
@pytest.mark.parametrize(
    "name",
    [
        *("PYTHONWARNINGS", "PYTHONPATH", "PYTHONSTARTUP", "BROWSER", "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "HOME"),
        *(
            "AWS_ENDPOINT_URL",
            "AWS_SECRET_ACCESS_KEY",
            "HTTPS_PROXY",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "BASH_ENV",
        ),
        *(
            "COMPOSE_RUNNER_TASK_COMMAND",
            "COMPOSE_RUNNER_TOKEN",
            "NUMBA_CACHE_DIR",
            "path",
            "",
            "A=B",
            "A\0",
            "A\nPATH",
        ),
    ],
)
def test_what_would_be_a_command_is_never_set(name: str, names: frozenset[str] | None) -> None:
    for definition, override in ((DEFINITION, overriding(**{name: "x"})), (overriding(**{name: "x"}), {})):
        with pytest.raises(ECSException, match="cannot be set"):
            checked_environment(definition, override, names)


def test_nothing_else_is_overridden() -> None:
    with pytest.raises(ECSException, match="LOG_LEVEL"):
        checked_environment(DEFINITION, overriding(LOG_LEVEL="DEBUG"), NAMES)
    with pytest.raises(ECSException, match="command"):
        checked_environment(DEFINITION, {"command": ["sh", "-c", "id"]}, NAMES)


def test_the_state_machines_own_overrides_are_found_wherever_they_stand() -> None:
    run = {"Overrides": {"ContainerOverrides": [{"Name": "task", "Environment": [{"Name": "A", "Value.$": "$.a"}]}]}}
    definition = '{"States": {"M": {"ItemProcessor": {"States": {"R": {"Parameters": %s}}}}}}'
    assert override_names(definition % str(run).replace("'", '"')) == {"A"}
