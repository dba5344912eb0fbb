"""What ``template.yaml`` declares, made in the embedded AWS.

CloudFormation inside moto ignores most of this template, so that each resource is made through its own API, on demand:
to resolve a reference is to make what it refers to. The template stays the one source.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from compose_runner.local.functions.pool import FunctionCode
from compose_runner.local.stack.template import Template, TemplateError, local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from compose_runner.local.aws.emulator import EmbeddedAws
    from compose_runner.local.stack.template import Resource

STACK = "compose-runner"
# the contract's functions and their logical ids
FUNCTIONS = {
    "submit": "ComposeRunnerSubmit",
    "status": "ComposeRunnerStatus",
    "logs": "ComposeRunnerLogPoller",
    "results": "ComposeRunnerResultsFetcher",
}


@dataclass(frozen=True, slots=True)
class Made:
    """A resource that exists.

    Parameters
    ----------
    reference : str
        What ``Ref`` gives.
    attributes : mapping
        What ``Fn::GetAtt`` gives.
    """

    reference: str
    attributes: Mapping[str, Any]


class Stack:
    """The template's resources in an embedded AWS.

    Parameters
    ----------
    aws : EmbeddedAws
        Where they are made.
    template_path : Path
        ``template.yaml``.
    parameters : mapping
        Values that replace the parameters' defaults.
    """

    def __init__(self, aws: EmbeddedAws, template_path: Path, parameters: Mapping[str, str]) -> None:
        self._aws = aws
        self.template = Template(template_path, parameters, region=aws.region, account=aws.account, stack=STACK)
        self._made: dict[str, Made] = {}
        self._makers: dict[str, Callable[[Resource, dict[str, Any]], Made]] = {
            "AWS::S3::Bucket": self._bucket,
            "AWS::Logs::LogGroup": self._log_group,
            "AWS::SSM::Parameter": self._parameter,
            "AWS::Budgets::Budget": self._budget,
            "AWS::EC2::VPC": self._vpc,
            "AWS::EC2::Subnet": self._subnet,
            "AWS::EC2::SecurityGroup": self._security_group,
            "AWS::ECS::Cluster": self._cluster,
            "AWS::ECS::TaskDefinition": self._task_definition,
            "AWS::StepFunctions::StateMachine": self._state_machine,
            "AWS::DynamoDB::Table": self._table,
        }

    # -- use -----------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Make everything that has an effect on a running service."""
        for resource in self.template.resources.values():
            if resource.type in self._makers:
                self.made(resource.name)

    def made(self, name: str) -> Made:
        """One resource, made now if it does not exist yet.

        Raises
        ------
        TemplateError
            The template does not have it, or not under these conditions.
        """
        if name not in self._made:
            resource = self.template.resources.get(name)
            if resource is None:
                raise TemplateError(f"the template has no resource {name}")
            maker = self._makers.get(resource.type)
            if maker is None:
                self._made[name] = self._name_only(resource)
            else:
                self._made[name] = maker(resource, self._resolve(resource.properties))
        return self._made[name]

    def only(self, kind: str) -> str:
        """Logical id of the only resource of a type.

        Raises
        ------
        TemplateError
            There is none, or more than one.
        """
        names = [resource.name for resource in self.template.resources.values() if resource.type == kind]
        if len(names) != 1:
            raise TemplateError(f"expected one {kind} in the template, found {len(names)}")
        return names[0]

    def functions(self) -> dict[str, FunctionCode]:
        """The four functions, by the contract's names."""
        return {key: self._function(name) for key, name in FUNCTIONS.items()}

    # -- references ----------------------------------------------------------------------------------------------

    def _resolve(self, value: Any) -> Any:
        return self.template.resolve(value, self._attribute)

    def _attribute(self, name: str, attribute: str | None) -> Any:
        if attribute is None:
            return self.made(name).reference
        attributes = self.made(name).attributes
        if attribute not in attributes:
            kind = self.template.resources[name].type
            raise TemplateError(f"the embedded service does not know the attribute {attribute} of {kind}")
        return attributes[attribute]

    def _make_name(self, resource: Resource, name: Any = None) -> str:
        return str(name or f"{STACK}-{resource.name}")

    def _name_only(self, resource: Resource) -> Made:
        """Roles, alarms, topics, dashboards: nothing here acts on them, but other resources name them."""
        given = resource.properties.get("FunctionName") or resource.properties.get("RoleName")
        name = self._make_name(resource, self._resolve(given))
        service = resource.type.split("::")[1].lower()
        if resource.type == "AWS::IAM::Role":
            arn = f"arn:aws:iam::{self._aws.account}:role/{name}"
        elif resource.type == "AWS::Lambda::Function":
            arn = f"arn:aws:lambda:{self._aws.region}:{self._aws.account}:function:{name}"
        else:
            arn = f"arn:aws:{service}:{self._aws.region}:{self._aws.account}:{name}"
        is_arn = resource.type in {"AWS::SNS::Topic", "AWS::IAM::ManagedPolicy"}
        return Made(
            arn if is_arn else name, {"Arn": arn, "Name": name, "TopicArn": arn, "TopicName": name, "RoleId": name}
        )

    # -- makers --------------------------------------------------------------------------------------------------

    def _bucket(self, resource: Resource, properties: dict[str, Any]) -> Made:
        name = self._make_name(resource, properties.get("BucketName")).lower()
        client = self._aws.client("s3")
        client.create_bucket(Bucket=name)
        versioning = (properties.get("VersioningConfiguration") or {}).get("Status")
        if versioning:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": versioning})
        return Made(
            name,
            {
                "Arn": f"arn:aws:s3:::{name}",
                "DomainName": f"{name}.s3.amazonaws.com",
                "RegionalDomainName": f"{name}.s3.{self._aws.region}.amazonaws.com",
            },
        )

    def _log_group(self, resource: Resource, properties: dict[str, Any]) -> Made:
        name = str(properties.get("LogGroupName") or f"/{STACK}/{resource.name}")
        self._aws.client("logs").create_log_group(logGroupName=name)
        return Made(name, {"Arn": f"arn:aws:logs:{self._aws.region}:{self._aws.account}:log-group:{name}:*"})

    def _parameter(self, resource: Resource, properties: dict[str, Any]) -> Made:
        name = str(properties.get("Name") or f"/{STACK}/{resource.name}")
        self._aws.client("ssm").put_parameter(
            Name=name, Value=str(properties["Value"]), Type=properties.get("Type", "String"), Overwrite=True
        )
        return Made(name, {"Value": properties["Value"], "Type": properties.get("Type", "String")})

    def _budget(self, resource: Resource, properties: dict[str, Any]) -> Made:
        budget = dict(properties["Budget"])
        budget["BudgetName"] = self._make_name(resource, budget.get("BudgetName"))
        self._call("budgets", "CreateBudget", {"AccountId": self._aws.account, "Budget": budget})
        return Made(budget["BudgetName"], {})

    def _vpc(self, _: Resource, properties: dict[str, Any]) -> Made:
        made = self._call("ec2", "CreateVpc", {"CidrBlock": properties["CidrBlock"]})["Vpc"]
        return Made(made["VpcId"], {"VpcId": made["VpcId"], "CidrBlock": made["CidrBlock"]})

    def _subnet(self, _: Resource, properties: dict[str, Any]) -> Made:
        wanted = {name: properties[name] for name in ("VpcId", "CidrBlock")}
        made = self._call("ec2", "CreateSubnet", wanted)["Subnet"]
        return Made(made["SubnetId"], {"SubnetId": made["SubnetId"], "VpcId": made["VpcId"]})

    def _security_group(self, resource: Resource, properties: dict[str, Any]) -> Made:
        made = self._call(
            "ec2",
            "CreateSecurityGroup",
            {
                "VpcId": properties["VpcId"],
                "GroupName": self._make_name(resource, properties.get("GroupName")),
                "Description": properties.get("GroupDescription", resource.name),
            },
        )
        return Made(made["GroupId"], {"GroupId": made["GroupId"], "VpcId": properties["VpcId"]})

    def _cluster(self, resource: Resource, properties: dict[str, Any]) -> Made:
        name = self._make_name(resource, properties.get("ClusterName"))
        made = self._call("ecs", "CreateCluster", {"clusterName": name})["cluster"]
        return Made(name, {"Arn": made["clusterArn"]})

    def _task_definition(self, resource: Resource, properties: dict[str, Any]) -> Made:
        wanted = {"Family": self._make_name(resource), **properties}
        wanted.pop("Tags", None)
        arn = self._call("ecs", "RegisterTaskDefinition", wanted)["taskDefinition"]["taskDefinitionArn"]
        return Made(arn, {"TaskDefinitionArn": arn})

    def _state_machine(self, resource: Resource, properties: dict[str, Any]) -> Made:
        definition = properties.get("DefinitionString")
        text = definition if isinstance(definition, str) else json.dumps(properties["Definition"])
        for name, value in (properties.get("DefinitionSubstitutions") or {}).items():
            text = text.replace(f"${{{name}}}", str(value))
        name = self._make_name(resource, properties.get("StateMachineName"))
        try:
            arn = self._aws.client("stepfunctions").create_state_machine(
                name=name, definition=text, roleArn=str(properties["RoleArn"])
            )["stateMachineArn"]
        except ClientError as error:
            raise TemplateError(f"{resource.name}: {error.response['Error']['Message']}") from error
        return Made(arn, {"Arn": arn, "Name": name})

    def _table(self, resource: Resource, properties: dict[str, Any]) -> Made:
        name = self._make_name(resource, properties.get("TableName"))
        self._call("dynamodb", "CreateTable", {**properties, "TableName": name})
        return Made(name, {"Arn": f"arn:aws:dynamodb:{self._aws.region}:{self._aws.account}:table/{name}"})

    def _call(self, service: str, operation: str, properties: dict[str, Any]) -> Any:
        """Call an API with CloudFormation's properties: the names differ by case, the numbers come as text."""
        client = self._aws.client(service)
        shape = client.meta.service_model.operation_model(operation).input_shape
        method = next(name for name, api in client.meta.method_to_api_mapping.items() if api == operation)
        return getattr(client, method)(**_shaped(properties, shape))

    # -- functions -----------------------------------------------------------------------------------------------

    def _function(self, name: str) -> FunctionCode:
        resource = self.template.resources.get(name)
        if resource is None:
            raise TemplateError(f"the template has no function {name}")
        properties = resource.properties
        folder = local_path(self._resolve(properties.get("Code")))
        if folder is None:
            raise TemplateError(f"{name} has no local CodeUri")
        environment = self._resolve((properties.get("Environment") or {}).get("Variables") or {})
        logging = self._resolve(properties.get("LoggingConfig") or {})
        return FunctionCode(
            name=self.made(name).reference,
            folder=(self.template.folder / folder).resolve(),
            handler=str(self._resolve(properties["Handler"])),
            environment={variable: _text(value) for variable, value in environment.items()},
            timeout=float(self._resolve(properties.get("Timeout", 3))),
            memory=int(self._resolve(properties.get("MemorySize", 128))),
            log_group=str(logging.get("LogGroup", "")),
        )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shaped(value: Any, shape: Any) -> Any:
    """A property in the form in which an API takes it; what the API does not know is left out."""
    if shape.type_name == "structure":
        members = {member.lower(): member for member in shape.members}
        return {
            members[name.lower()]: _shaped(part, shape.members[members[name.lower()]])
            for name, part in value.items()
            if name.lower() in members
        }
    if shape.type_name == "list":
        return [_shaped(part, shape.member) for part in value]
    if shape.type_name == "map":
        return {key: _shaped(part, shape.value) for key, part in value.items()}
    if shape.type_name in {"integer", "long"}:
        return int(value)
    if shape.type_name == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    return str(value) if shape.type_name == "string" else value
