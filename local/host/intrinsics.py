"""CloudFormation's YAML tags and intrinsic functions, as far as a template of ours uses them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

REGION = "us-west-2"
ACCOUNT = "123456789012"
_PSEUDO_PARAMETERS = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::StackName": "moonlit-local",
    "AWS::URLSuffix": "amazonaws.com",
}
_NO_VALUE = object()
_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")

type ResourceValue = Callable[[str, str | None], Any]
"""Answers what a resource's logical id refers to, or one of its attributes."""


class TemplateError(ValueError):
    """The template says something that this host cannot make sense of."""


class _Loader(yaml.CSafeLoader):
    """Reads `!Ref x` as `{"Ref": x}` and `!Sub x` as `{"Fn::Sub": x}`; libyaml reads ten times as fast as Python."""


def _tagged(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _tagged)


def read_document(path: Path) -> dict[str, Any]:
    """Return the template at `path` with its short tags written out, nothing resolved yet.

    Raises:
        TemplateError: It is not YAML, or not a mapping.
    """
    try:
        document = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506  # A SafeLoader with tags for plain data.
    except yaml.YAMLError as error:
        raise TemplateError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise TemplateError(f"{path} does not hold a template")
    return document


class Resolver:
    """Resolves intrinsic functions on demand, so that parts which nobody here reads may use any."""

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, str], resource: ResourceValue) -> None:
        self._resource = resource
        self._conditions: Mapping[str, Any] = document.get("Conditions", {})
        self._parameters: dict[str, Any] = dict(_PSEUDO_PARAMETERS)
        for name, declared in document.get("Parameters", {}).items():
            given = parameters.get(name, declared.get("Default", ""))
            as_list = "List" in declared.get("Type", "String")
            self._parameters[name] = [part.strip() for part in str(given).split(",")] if as_list else given
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self._condition,
            "Fn::GetAtt": lambda node: self._resource(node[0], str(self.value(node[1]))),
            "Fn::Sub": self._sub,
            "Fn::If": lambda node: self.value(node[1] if self._condition(node[0]) else node[2]),
            "Fn::Equals": lambda node: str(self.value(node[0])) == str(self.value(node[1])),
            "Fn::Not": lambda node: not self.value(node[0]),
            "Fn::And": lambda node: all(self.value(part) for part in node),
            "Fn::Or": lambda node: any(self.value(part) for part in node),
            "Fn::Join": lambda node: str(node[0]).join(str(part) for part in self.value(node[1])),
            "Fn::Split": lambda node: str(self.value(node[1])).split(str(node[0])),
            "Fn::Select": lambda node: self.value(node[1])[int(self.value(node[0]))],
        }

    def value(self, node: Any) -> Any:
        """Return `node` with every intrinsic function in it resolved; `AWS::NoValue` leaves no trace.

        Raises:
            TemplateError: It uses an intrinsic function that is not imitated here.
        """
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name in self._functions:
                return self._functions[name](argument)
            if str(name).startswith("Fn::"):
                raise TemplateError(f"{name} is not imitated here")
        resolved = {key: self.value(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not _NO_VALUE}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        return self._parameters[name] if name in self._parameters else self._resource(name, None)

    def _condition(self, name: str) -> bool:
        if name not in self._conditions:
            raise TemplateError(f"the condition {name} is not declared")
        return bool(self.value(self._conditions[name]))

    def _sub(self, node: Any) -> str:
        text, names = (node[0], self.value(node[1])) if isinstance(node, list) else (node, {})

        def substitute(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in names:
                return str(names[name])
            logical_id, _, attribute = name.partition(".")
            return str(self._resource(logical_id, attribute) if attribute else self._ref(logical_id))

        return _PLACEHOLDER.sub(substitute, text)
