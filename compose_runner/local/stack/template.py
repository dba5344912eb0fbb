"""The template as CloudFormation would see it: SAM translated, parameters and conditions decided, references open."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# the translator wants code in S3; the local path is kept behind this address
_CODE = "s3://embedded/"
_SUB = re.compile(r"\$\{(!?)([^}]+)\}")
_NO_VALUE = object()


class TemplateError(ValueError):
    """The template asks for something that the embedded service does not know."""


@dataclass(frozen=True)
class Resource:
    """One resource after the translation.

    Parameters
    ----------
    name : str
        Logical id.
    type : str
        CloudFormation's.
    properties : dict
        Intrinsic functions unresolved.
    """

    name: str
    type: str
    properties: dict[str, Any]


class Template:
    """A SAM template, translated and ready to be resolved.

    Parameters
    ----------
    path : Path
        ``template.yaml``; local paths in it are relative to its folder.
    parameters : mapping
        Values that replace the parameters' defaults.
    region, account, stack : str
        Pseudo parameters.

    Raises
    ------
    TemplateError
        A parameter has no value, or one is given that the template does not have.
    """

    def __init__(self, path: Path, parameters: Mapping[str, str], *, region: str, account: str, stack: str) -> None:
        self.folder = path.parent
        source = yaml_parse(path.read_text(encoding="utf-8"))
        self.pseudo = {
            "AWS::Region": region,
            "AWS::AccountId": account,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": stack,
            "AWS::StackId": f"arn:aws:cloudformation:{region}:{account}:stack/{stack}/embedded",
            "AWS::NotificationARNs": [],
        }
        self.parameters = _values(source.get("Parameters") or {}, parameters)
        self._mappings: dict[str, Any] = source.get("Mappings") or {}
        self._conditions: dict[str, Any] = source.get("Conditions") or {}
        _take_in_local_files(source, self.folder)
        session = boto3.session.Session(region_name=region)
        # the rules of the template are for deployments; the translator does not know them
        source.pop("Rules", None)
        translated = Translator({}, Parser(), boto_session=session).translate(
            source, parameter_values=dict(self.parameters), get_managed_policy_map=dict
        )
        self.resources = {
            name: Resource(name, body["Type"], body.get("Properties") or {})
            for name, body in json.loads(json.dumps(translated))["Resources"].items()
            if "Condition" not in body or self.condition(body["Condition"])
        }

    def condition(self, name: str) -> bool:
        """Whether a condition holds."""
        if name not in self._conditions:
            raise TemplateError(f"there is no condition {name}")
        return bool(self.resolve(self._conditions[name], _no_resource))

    def resolve(self, value: Any, attribute: Callable[[str, str | None], Any]) -> Any:
        """Replace every intrinsic function in a value.

        Parameters
        ----------
        value : object
            A property of the template.
        attribute : callable
            Takes a logical id and the name of an attribute (None for ``Ref``) and returns its value.

        Raises
        ------
        TemplateError
            An intrinsic function is not known.
        """
        resolved = _Resolver(self, attribute).resolve(value)
        return None if resolved is _NO_VALUE else resolved

    def referenced(self, name: str, attribute: Callable[[str, str | None], Any]) -> Any:
        """Value of ``Ref``: a pseudo parameter, a parameter, or a resource."""
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        return attribute(name, None)

    def mapped(self, keys: list[str]) -> Any:
        """Value of ``Fn::FindInMap``."""
        found: Any = self._mappings
        for key in keys:
            try:
                found = found[key]
            except KeyError:
                raise TemplateError(f"there is no mapping {'.'.join(keys)}") from None
        return found


def local_path(code: Any) -> str | None:
    """Local path behind the address of a function's code, as the translated template has it."""
    if isinstance(code, dict) and code.get("S3Bucket") == "embedded":
        key: str = code["S3Key"]
        return key
    return None


def _no_resource(name: str, _: str | None) -> Any:
    raise TemplateError(f"a condition refers to {name}, which is not a parameter")


def _values(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise TemplateError(f"the template has no parameter {', '.join(unknown)}")
    values = {name: given.get(name, body.get("Default")) for name, body in declared.items()}
    missing = sorted(name for name, value in values.items() if value is None)
    if missing:
        raise TemplateError(f"these parameters need a value: {', '.join(missing)}")
    return {name: _typed(values[name], body.get("Type", "String")) for name, body in declared.items()}


def _typed(value: Any, kind: str) -> Any:
    if kind.startswith("List<") or kind == "CommaDelimitedList":
        return [part.strip() for part in str(value).split(",")]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _take_in_local_files(source: dict[str, Any], folder: Path) -> None:
    """Do what ``sam package`` does: the translator takes neither local code nor a local definition."""
    for body in source.get("Resources", {}).values():
        properties = body.get("Properties") or {}
        for name in ("CodeUri", "ContentUri"):
            if isinstance(properties.get(name), str):
                properties[name] = _CODE + properties[name]
        definition = properties.get("DefinitionUri")
        if isinstance(definition, str):
            del properties["DefinitionUri"]
            properties["Definition"] = json.loads((folder / definition).read_text(encoding="utf-8"))
    function_globals = (source.get("Globals") or {}).get("Function") or {}
    if isinstance(function_globals.get("CodeUri"), str):
        function_globals["CodeUri"] = _CODE + function_globals["CodeUri"]


class _Resolver:
    """Intrinsic functions by name; each takes its unresolved argument."""

    def __init__(self, template: Template, attribute: Callable[[str, str | None], Any]) -> None:
        self._template = template
        self._attribute = attribute
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": template.condition,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::If": self._if,
            "Fn::Equals": self._equals,
            "Fn::Not": lambda argument: not self.resolve(argument[0]),
            "Fn::And": lambda argument: all(self.resolve(part) for part in argument),
            "Fn::Or": lambda argument: any(self.resolve(part) for part in argument),
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": lambda argument: template.mapped([self.resolve(part) for part in argument]),
            "Fn::GetAZs": lambda _: [f"{template.pseudo['AWS::Region']}{letter}" for letter in "abcd"],
            "Fn::Cidr": self._cidr,
        }

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [found for part in value if (found := self.resolve(part)) is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name in self._functions and (name != "Condition" or isinstance(argument, str)):
                return self._functions[name](argument)
            if name.startswith("Fn::"):
                raise TemplateError(f"the embedded service does not know {name}")
        return {name: found for name, part in value.items() if (found := self.resolve(part)) is not _NO_VALUE}

    def _ref(self, name: str) -> Any:
        return self._template.referenced(name, self._attribute)

    def _get_att(self, argument: Any) -> Any:
        name, _, attribute = argument.partition(".") if isinstance(argument, str) else (argument[0], ".", argument[1])
        return self._attribute(name, attribute)

    def _sub(self, argument: Any) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else argument

        def replacement(found: re.Match[str]) -> str:
            literal, name = found[1], found[2].strip()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return str(self.resolve(variables[name]))
            return str(self._get_att(name) if "." in name else self._ref(name))

        return _SUB.sub(replacement, text)

    def _join(self, argument: Any) -> str:
        separator, parts = argument
        return str(separator).join(str(part) for part in self.resolve(parts))

    def _if(self, argument: Any) -> Any:
        name, then, otherwise = argument
        return self.resolve(then if self._template.condition(name) else otherwise)

    def _equals(self, argument: Any) -> bool:
        left, right = (self.resolve(part) for part in argument)
        return str(left) == str(right)

    def _select(self, argument: Any) -> Any:
        index, parts = argument
        return self.resolve(parts)[int(self.resolve(index))]

    def _split(self, argument: Any) -> list[str]:
        separator, text = argument
        return str(self.resolve(text)).split(separator)

    def _cidr(self, argument: Any) -> list[str]:
        from ipaddress import ip_network

        block, count, *bits = (self.resolve(part) for part in argument)
        network = ip_network(block)
        prefix = network.max_prefixlen - int(bits[0] if bits else 8)
        subnets = network.subnets(new_prefix=prefix)
        return [str(next(subnets)) for _ in range(int(count))]
