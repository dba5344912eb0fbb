from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("samtranslator", reason="needs the local extra")

from compose_runner.local.stack.application import TEMPLATE, application_root
from compose_runner.local.stack.template import Template, TemplateError

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Name: {Type: String, Default: brain}
  Names: {Type: CommaDelimitedList, Default: 'a, b'}
  Needed: {Type: String}
Conditions:
  IsBrain: !Equals [!Ref Name, brain]
  IsOther: !Not [!Condition IsBrain]
Mappings:
  Sizes: {large: {cpu: 16}}
Resources:
  Bucket: {Type: AWS::S3::Bucket}
  Other: {Type: AWS::S3::Bucket, Condition: IsOther}
"""


def template(folder: Path, **parameters: str) -> Template:
    path = folder / "template.yaml"
    path.write_text(_HEAD)
    values = {"Needed": "yes", **parameters}
    return Template(path, values, region="us-east-1", account="123456789012", stack="stack")


def attribute(name: str, wanted: str | None) -> Any:
    return f"<{name}.{wanted}>" if wanted else f"<{name}>"


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"Ref": "Name"}, "brain"),
        ({"Ref": "Names"}, ["a", "b"]),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "Bucket"}, "<Bucket>"),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, "<Bucket.Arn>"),
        ({"Fn::GetAtt": "Bucket.Arn"}, "<Bucket.Arn>"),
        ({"Fn::Sub": "${Name}-${Bucket.Arn}-${!Kept}-${AWS::AccountId}"}, "brain-<Bucket.Arn>-${Kept}-123456789012"),
        ({"Fn::Sub": ["${A}", {"A": {"Ref": "Name"}}]}, "brain"),
        ({"Fn::Join": ["/", ["x", {"Ref": "Name"}]]}, "x/brain"),
        ({"Fn::If": ["IsBrain", 1, 2]}, 1),
        ({"Fn::If": ["IsOther", 1, 2]}, 2),
        ({"A": {"Fn::If": ["IsOther", 1, {"Ref": "AWS::NoValue"}]}, "B": 2}, {"B": 2}),
        ([{"Ref": "AWS::NoValue"}, 1], [1]),
        ({"Fn::Select": [1, {"Fn::Split": [",", "x,y"]}]}, "y"),
        ({"Fn::FindInMap": ["Sizes", "large", "cpu"]}, 16),
        ({"Fn::Cidr": ["10.0.0.0/16", 2, 8]}, ["10.0.0.0/24", "10.0.1.0/24"]),
    ],
)
def test_intrinsic_functions_have_cloudformations_values(tmp_path: Path, value: Any, resolved: Any) -> None:
    assert template(tmp_path).resolve(value, attribute) == resolved


def test_a_resource_whose_condition_does_not_hold_is_not_there(tmp_path: Path) -> None:
    assert set(template(tmp_path).resources) == {"Bucket"}
    assert set(template(tmp_path, Name="heart").resources) == {"Bucket", "Other"}


def test_a_parameter_without_a_value_and_one_that_does_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="Nonsense"):
        template(tmp_path, Nonsense="1")
    path = tmp_path / "template.yaml"
    with pytest.raises(TemplateError, match="Needed"):
        Template(path, {}, region="us-east-1", account="123456789012", stack="stack")


def test_a_function_that_is_not_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="Fn::Transform"):
        template(tmp_path).resolve({"Fn::Transform": {}}, attribute)


def test_the_applications_own_template_is_found_beside_the_package() -> None:
    root = application_root()
    assert (root / TEMPLATE).is_file()
    assert (root / "functions" / "submit" / "app.py").is_file()
    assert (root / "task" / "state_machine.asl.json").is_file()
