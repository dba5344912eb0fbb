"""What botocore reads from its data folder before it can make a client, cut to what the functions use.

Botocore reads everything that AWS has, and a cold start waits for it: 1.2 MB of endpoints (20 to 35 ms), 400 folders of
services that only serve to word an error (20 ms), and the full description of each service (S3's is 1 MB). The loader
below is botocore's own extension point, the component ``data_loader`` of a session:

* **Service descriptions** come from ``models/``, which holds the operations that the functions call, without the prose;
  ``python -m compose_runner.aws.trimming`` writes them, and a test holds them against the installed botocore.
* **Endpoints** are made of ``partitions.json``, which botocore reads anyway. Botocore takes addresses from the rule set
  of a service and asks the old table of endpoints for the partition and the name of the region in a signature, both of
  which follow from the region; a test compares addresses and signatures in every partition with plain botocore's.

Of botocore's own handlers of events, a session registers those that may see a call of these services: 46 of 127.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import botocore.session
from botocore import handlers
from botocore.loaders import Loader

MODELS = Path(__file__).with_name("models")
# name of each service in botocore, and the operations that the functions call
OPERATIONS: dict[str, tuple[str, ...]] = {
    "stepfunctions": ("StartExecution", "DescribeExecution", "StopExecution"),
    # botocore itself asks for a bucket's region after a redirect
    "s3": ("GetObject", "ListObjectsV2", "HeadBucket"),
    "logs": ("FilterLogEvents",),
    "ssm": ("PutParameter", "DeleteParameters"),
}
# what botocore calls the same services in the names of events
_SERVICES_OF_EVENTS = {"*", "s3", "sfn", "states", "ssm", "cloudwatch-logs", "logs"}


def session() -> botocore.session.Session:
    """Make a session of botocore for the services in :data:`OPERATIONS`."""
    made = botocore.session.Session(include_builtin_handlers=False)
    made.register_component("data_loader", FunctionsLoader())
    events = made.get_component("event_emitter")
    register = {handlers.REGISTER_FIRST: events.register_first, handlers.REGISTER_LAST: events.register_last}
    for name, handler, *place in handlers.BUILTIN_HANDLERS:
        kind, _, rest = name.partition(".")
        if kind != "docs" and (not rest or rest.partition(".")[0] in _SERVICES_OF_EVENTS):
            register.get(place[0] if place else None, events.register)(name, handler)
    return made


class FunctionsLoader(Loader):  # type: ignore[misc]
    """Botocore's loader of data files for the services in :data:`OPERATIONS`."""

    def list_available_services(self, type_name: str) -> list[str]:
        """Name the services that there are; botocore would search its folders for them."""
        return list(OPERATIONS)

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        """Read a service's description from ``models/``, and everything else about it from botocore's folder."""
        if type_name == "service-2" and service_name in OPERATIONS:
            return json.loads((MODELS / f"{service_name}.json").read_bytes())
        return super().load_service_model(service_name, type_name, api_version)

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """Read a data file; the table of endpoints is made here."""
        if name != "endpoints":
            found: tuple[Any, str] = super().load_data_with_path(name)
            return found
        # with botocore's own path it goes on to trust its rule sets, as it would with its own table
        return endpoints(super().load_data_with_path("partitions")[0]), os.path.join(self.BUILTIN_DATA_PATH, name)


# what S3 was before it had regions, which botocore still asks for where the region is us-east-1
_S3_WITHOUT_REGION = {
    "partitionEndpoint": "aws-global",
    "endpoints": {"aws-global": {"hostname": "s3.amazonaws.com", "credentialScope": {"region": "us-east-1"}}},
}


def endpoints(partitions: dict[str, Any]) -> dict[str, Any]:
    """Make botocore's table of endpoints (``endpoints.json``, version 3) for the services in :data:`OPERATIONS`.

    Parameters
    ----------
    partitions : dict
        ``partitions.json`` of botocore.
    """
    return {"version": 3, "partitions": [_endpoints_of(partition) for partition in partitions["partitions"]]}


def _endpoints_of(partition: dict[str, Any]) -> dict[str, Any]:
    suffix, dual_stack = partition["outputs"]["dnsSuffix"], partition["outputs"]["dualStackDnsSuffix"]
    plain, fips = "{service}.{region}.{dnsSuffix}", "{service}-fips.{region}.{dnsSuffix}"
    return {
        "partition": partition["id"],
        "dnsSuffix": suffix,
        "regionRegex": partition["regionRegex"],
        "regions": partition["regions"],
        "defaults": {
            "hostname": plain,
            "protocols": ["https"],
            "signatureVersions": ["v4"],
            "variants": [
                {"hostname": fips, "dnsSuffix": suffix, "tags": ["fips"]},
                {"hostname": fips, "dnsSuffix": dual_stack, "tags": ["dualstack", "fips"]},
                {"hostname": plain, "dnsSuffix": dual_stack, "tags": ["dualstack"]},
            ],
        },
        "services": {"s3": _S3_WITHOUT_REGION} if partition["id"] == "aws" else {},
    }
