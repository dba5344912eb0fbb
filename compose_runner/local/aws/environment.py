"""Environment variables: those that lead to the embedded AWS, and this process's without those that lead elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from compose_runner.client.addresses import TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compose_runner.local.aws.request_signatures import AccessKeys


def aws_environment(endpoint: str, keys: AccessKeys, region: str) -> dict[str, str]:
    """Variables that point boto3 at an embedded AWS, and at nothing else.

    Parameters
    ----------
    endpoint : str
        Address of the embedded AWS.
    keys : AccessKeys
        What its requests are signed with.
    region : str
        Its region.
    """
    return {
        **keys.variables,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def process_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables of this process for others, without AWS's and the gateway's token.

    A developer's own account must stay out of reach, and the token is for clients.

    Parameters
    ----------
    variables : mapping, optional
        Taken instead of the process's environment.
    """
    variables = os.environ if variables is None else variables
    return {name: value for name, value in variables.items() if not name.startswith("AWS_") and name != TOKEN_VARIABLE}
