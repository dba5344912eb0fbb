"""What botocore is given to read: equal to its own for what the functions do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.loaders import Loader

from compose_runner.aws import service_data, trimming
from compose_runner.aws.service_data import MODELS, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "stepfunctions": ("describe_execution", {"executionArn": "arn"}),
    "s3": ("list_objects_v2", {"Bucket": "a-bucket"}),
    "logs": ("filter_log_events", {"logGroupName": "group"}),
    "ssm": ("delete_parameters", {"Names": ["name"]}),
}
# one region of each partition, and those that botocore treats apart
REGIONS = [
    *(next(iter(partition["regions"])) for partition in Loader().load_data("partitions")["partitions"]),
    *("us-east-1", "us-east-2", "us-west-2", "eu-central-1", "ap-southeast-5", "cn-north-1", "us-gov-west-1"),
]


class _SentError(Exception):
    """Keeps a request from leaving."""


def sent(session: botocore.session.Session, service: str, region: str, **settings: Any) -> tuple[object, ...]:
    """Address, signed scope, body and names of headers of a call."""
    config = Config(**settings, **({"signature_version": "s3v4"} if service == "s3" else {}))
    client = session.create_client(
        service,
        region_name=region,
        config=config,
        aws_access_key_id="an-id",
        aws_secret_access_key="a-secret",
    )
    requests: list[Any] = []

    def keep(request: Any, **_: Any) -> None:
        requests.append(request)
        raise _SentError

    client.meta.events.register("before-send", keep)
    operation, parameters = CALLS[service]
    with pytest.raises(_SentError):
        getattr(client, operation)(**parameters)
    scope = requests[0].headers["Authorization"].decode().split("/", 1)[1].split("/", 1)[1].split(",")[0]
    return requests[0].url, scope, requests[0].body, sorted(requests[0].headers.keys())


@pytest.fixture(name="session")
def _session(monkeypatch: pytest.MonkeyPatch) -> botocore.session.Session:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_USE_FIPS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return service_data.session()


@pytest.fixture(scope="module", name="plain")
def _plain() -> Callable[[], botocore.session.Session]:
    session = botocore.session.Session()
    return lambda: session


@pytest.mark.parametrize("service", OPERATIONS)
def test_the_shipped_description_of_a_service_is_the_installed_botocores(service: str) -> None:
    assert (MODELS / f"{service}.json").read_text() == trimming.text_of(service), (
        "python -m compose_runner.aws.trimming"
    )


@pytest.mark.parametrize("service", OPERATIONS)
@pytest.mark.parametrize("region", sorted(set(REGIONS)))
def test_a_call_goes_where_botocore_sends_it_and_is_signed_alike(
    session: botocore.session.Session, plain: Callable[[], botocore.session.Session], service: str, region: str
) -> None:
    assert sent(session, service, region) == sent(plain(), service, region)


@pytest.mark.parametrize("service", OPERATIONS)
def test_dual_stack_and_fips_endpoints_are_botocores(
    session: botocore.session.Session, plain: Callable[[], botocore.session.Session], service: str
) -> None:
    for settings in ({"use_fips_endpoint": True}, {"use_dualstack_endpoint": True}):
        assert sent(session, service, "us-east-1", **settings) == sent(plain(), service, "us-east-1", **settings)


def test_presigned_addresses_are_botocores(
    session: botocore.session.Session, plain: Callable[[], botocore.session.Session]
) -> None:
    def host_and_scope(origin: botocore.session.Session, region: str) -> list[str]:
        client = origin.create_client(
            "s3",
            region_name=region,
            config=Config(signature_version="s3v4"),
            aws_access_key_id="an-id",
            aws_secret_access_key="a-secret",
        )
        address = client.generate_presigned_url("get_object", Params={"Bucket": "a-bucket", "Key": "k/x y.nii.gz"})
        place, _, query = address.partition("?")
        return [place, *(part.split("%2F", 1)[-1].split("%2F", 1)[-1] for part in query.split("&")[1:2])]

    for region in ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1"):
        assert host_and_scope(session, region) == host_and_scope(plain(), region)


def test_a_shipped_description_holds_nothing_else() -> None:
    for service, operations in OPERATIONS.items():
        assert sorted(json.loads((MODELS / f"{service}.json").read_text())["operations"]) == sorted(operations)
