"""Tasks of ECS: here their containers run."""

from __future__ import annotations

import threading
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ecs import models as ecs_models
from moto.ecs.exceptions import ECSException

from compose_runner.local.aws.moto_patches.host import host
from compose_runner.local.aws.moto_patches.patch import Kind, Patch

# network interfaces and tasks are kept in dictionaries that one thread walks through while another adds to them
_run_task_lock = threading.Lock()
_original_run_task = ecs_models.EC2ContainerServiceBackend.run_task
_original_describe_tasks = ecs_models.EC2ContainerServiceBackend.describe_tasks


def _run_task(self: Any, *arguments: Any, **named: Any) -> Any:
    with _run_task_lock:
        tasks = _original_run_task(self, *arguments, **named)
    definition = self.describe_task_definition(tasks[0].task_definition_arn) if tasks else None
    if definition is not None and definition.status == "INACTIVE":
        for task in tasks:
            forget_task(task.cluster_arn, task.task_arn)
        # "You can't use an INACTIVE task definition to run new tasks": ECS, Deregistering a task definition revision;
        # the text is that of aws/aws-cdk#12080 and DefangLabs/defang#775
        raise ECSException("ClientException", "TaskDefinition is inactive")
    for task in tasks:
        task.last_status = "PROVISIONING"
        task.containers[0].last_status = "PENDING"
        task.containers[0].exitCode = None
        task.created_at = utcnow()
    try:
        for task in tasks:
            host().tasks.launch(task, self.describe_task_definition(task.task_definition_arn))
    except ServiceException:
        for task in tasks:
            forget_task(task.cluster_arn, task.task_arn)
        raise
    return tasks


def forget_task(cluster_arn: str, task_arn: str) -> None:
    """Drop a task and its network interface from memory.

    Parameters
    ----------
    cluster_arn, task_arn : str
        Which.
    """
    _, _, _, region, account, _ = task_arn.split(":", 5)
    with _run_task_lock:
        task = (
            ecs_models.ecs_backends[account][region].tasks.get(cluster_arn.rpartition("/")[2], {}).pop(task_arn, None)
        )
        for attachment in task.attachments if task is not None else ():
            for detail in attachment["details"]:
                if detail["name"] == "networkInterfaceId":
                    ec2_backends[account][region].enis.pop(detail["value"], None)


def _describe_tasks(self: Any, *arguments: Any, **named: Any) -> Any:
    with _run_task_lock:
        return _original_describe_tasks(self, *arguments, **named)


def _stop_task(self: Any, cluster_str: str, task_str: str, reason: str) -> Any:
    cluster = self._get_cluster(cluster_str)
    wanted = task_str.split("/")[-1]
    for task in list(self.tasks.get(cluster.name, {}).values()):
        if task.id == wanted:
            task.desired_status = "STOPPED"
            host().tasks.stop(task, reason)
            return task
    raise ecs_models.InvalidParameterException("The referenced task was not found.")


def _resource_requirements(task_definition: Any) -> dict[str, Any]:
    return {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []}


def _status(self: Any) -> Any:
    return self._status


def _set_status(self: Any, value: str) -> None:
    self._status = value


PATCHES = (
    Patch(
        "containers run",
        Kind.OURS,
        "moto/ecs/models.py",
        "RunTask only keeps a record, and fails at times when two are made at once; here the container runs as a "
        "subprocess.",
        ecs_models.EC2ContainerServiceBackend,
        {"run_task": _run_task, "describe_tasks": _describe_tasks},
    ),
    Patch(
        "containers stop",
        Kind.OURS,
        "moto/ecs/models.py",
        "StopTask only changes the record, and raises an untyped exception (an answer of 500) when there "
        "is no such task.",
        ecs_models.EC2ContainerServiceBackend,
        {"stop_task": _stop_task},
    ),
    Patch(
        "no memory in the container",
        Kind.BUG,
        "getmoto/moto#7272",
        "RunTask raises TypeError for a container definition without memory, which is the usual one on Fargate.",
        ecs_models.EC2ContainerServiceBackend,
        {"_calculate_task_resource_requirements": staticmethod(_resource_requirements)},
    ),
    Patch(
        "interface without a name",
        Kind.BUG,
        "moto/ec2/models/elastic_network_interfaces.py",
        "RunTask raises AttributeError in a VPC that gives its hosts no DNS names.",
        NetworkInterface,
        {"private_dns_name": ""},
    ),
    Patch(
        "status by itself",
        Kind.OURS,
        "moto/ecs/models.py",
        "A task's status moves on by itself when it is looked at; here it is what the process's state is.",
        ecs_models.Task,
        {"status": property(_status, _set_status)},
    ),
)
