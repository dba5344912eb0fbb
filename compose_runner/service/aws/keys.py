"""A job's keys as SecureStrings in SSM Parameter Store, until its task takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compose_runner.service.aws import clients
from compose_runner.service.errors import AwsServiceError, JobNameTakenError
from compose_runner.service.observability import logger, tracing
from compose_runner.service.storage import key_parameter

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class SsmUploadKeys:
    """Keeps keys below one path.

    Parameters
    ----------
    parameters_path : str
        The path, with a slash in front.
    """

    parameters_path: str

    @tracing.in_subsegment("SSM PutParameter", namespace="aws")
    def keep(self, artifact_prefix: str, keys: dict[str, str]) -> None:
        """Keep keys; see :class:`compose_runner.service.ports.UploadKeys`. Never replaces those of another job."""
        kept: list[str] = []
        for name, value in keys.items():
            try:
                clients.client("ssm").put_parameter(
                    Name=key_parameter(self.parameters_path, artifact_prefix, name),
                    Description="Waits for the task of one compose-runner job, which deletes it.",
                    Value=value,
                    Type="SecureString",
                    Overwrite=False,
                )
            except clients.AwsError as error:
                self.forget(artifact_prefix, kept)
                code = clients.read_error_code(error)
                if code == "ParameterAlreadyExists":
                    raise JobNameTakenError(
                        artifact_prefix, "A job with the provided artifact_prefix already exists."
                    ) from None
                raise AwsServiceError(f"The job cannot be started: its {name} cannot be kept safe", code) from None
            kept.append(name)

    @tracing.in_subsegment("SSM DeleteParameters", namespace="aws")
    def forget(self, artifact_prefix: str, names: Iterable[str]) -> None:
        """Delete keys; see :class:`compose_runner.service.ports.UploadKeys`."""
        parameters = [key_parameter(self.parameters_path, artifact_prefix, name) for name in names]
        if not parameters:
            return
        try:
            # one call, which takes names that do not exist without an error
            clients.client("ssm").delete_parameters(Names=parameters)
        except clients.AwsError as error:
            logger.error("keys.not_deleted", extra={"error": clients.read_error_code(error)})
