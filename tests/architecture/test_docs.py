"""The documents say what the code says: problems, settings, alarms, log lines."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

import moonlit
from local.host.intrinsics import read_document
from moonlit import settings
from moonlit.errors import MoonlitError
from moonlit.practice.rules import Rules
from moonlit.settings import AthenaSecret, IntakeqSecret
from tests.conftest import ROOT

LAYER = ROOT / "layers" / "common" / "moonlit"
SOURCES = [*LAYER.rglob("*.py"), *(ROOT / "functions").glob("*/app.py")]
TEMPLATE = read_document(ROOT / "template.yaml")
RESOURCES: Mapping[str, Any] = TEMPLATE["Resources"]
SECRETS: tuple[type[BaseModel], ...] = (IntakeqSecret, AthenaSecret)
LOGGED = {"debug", "info", "warning", "error", "critical", "exception"}
# The steps of a sweep, and what those of their functions return that say how much of what was done.
SWEPT_BY = {"booking/sweep.py": ("str", "str | None"), "relay.py": ("dict[str, int]",)} | {
    f"sync/{name}.py": ("dict[str, int]",) for name in ("resume", "report", "feed", "open_slots")
}
ONLY_LOCAL = {"DATABASE_URL", "MOONLIT_CLOCK_FILE", "PARTNER_DATABASE_URL"}


def text(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def sections(name: str) -> dict[str, str]:
    """Return a document's sections by their headings."""
    parts = re.split(r"^## (.+)\n", text(name), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(markdown: str) -> dict[str, list[str]]:
    """Return the rows of every table in which the first cell is code, by that code."""
    lines = [line.split("|")[1:-1] for line in markdown.splitlines() if line.startswith("| `")]
    return {name.strip(" `"): [cell.strip(" `") for cell in cells] for name, *cells in lines}


def calls() -> Iterator[ast.Call]:
    """Yield every call in the product."""
    for path in SOURCES:
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def owner_and_name(call: ast.Call) -> tuple[str, str]:
    """Return `("logger", "info")` for `logger.info(…)`, and `("", "document")` for `document(…)`."""
    match call.func:
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return owner, name
        case ast.Name(id=name):
            return "", name
    return "", ""


# ── Problems ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def errors() -> Iterator[type[MoonlitError]]:
    """Yield every kind of expected error, each of them imported."""
    for module in pkgutil.walk_packages(moonlit.__path__, "moonlit."):
        importlib.import_module(module.name)
    waiting: list[type[MoonlitError]] = [MoonlitError]
    while waiting:
        yield (error := waiting.pop())
        waiting += error.__subclasses__()


def problems() -> dict[str, int]:
    """Return the status of every problem type that the code can answer."""
    found = {error.slug: int(error.status) for error in errors() if "slug" in vars(error)}  # Others are never answered.
    literal = [call for call in calls() if owner_and_name(call)[1] == "document"]
    named = {call.args[1].value for call in literal if isinstance(call.args[1], ast.Constant)}
    assert named == {"malformed-request", "unsupported-media-type", "internal-error"}
    return found | {"malformed-request": 422, "unsupported-media-type": 415}


def test_every_problem_type_has_its_section_with_its_status() -> None:
    told = {slug: int(section.strip()[2:5]) for slug, section in sections("problems").items()}
    assert told == problems()


def test_the_members_that_problems_add_are_described() -> None:
    slugs = {error.__name__: error.slug for error in errors()}
    added = [
        (slugs[name], key.arg)
        for call in calls()
        if (name := owner_and_name(call)[1]) in slugs
        for key in call.keywords
    ]
    assert ("too-many-requests", "retryAfterSeconds") in added
    assert "`alternatives`" in sections("problems")["slot-taken"]
    for slug, member in added:
        assert f"`{member}`" in sections("problems")[slug]


# ── Settings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def models() -> list[type[BaseModel]]:
    return [
        model
        for model in vars(settings).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model not in (BaseModel, *SECRETS)
    ]


def fields() -> dict[str, Any]:
    """Return the default of every variable that the settings read."""
    return {
        str(field.alias): "required" if field.is_required() else field.default
        for model in models()
        for field in model.model_fields.values()
    }


def variables() -> dict[str, set[str]]:
    """Return the functions that the template gives each variable, by its name."""
    functions = [each["Properties"] for each in RESOURCES.values() if each["Type"] == "AWS::Serverless::Function"]
    shared = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    given: dict[str, set[str]] = {}
    for function in functions:
        for name in {**shared, **function["Environment"]["Variables"]}:
            given.setdefault(name, set()).add(function["CodeUri"].removeprefix("functions/"))
    return given


def test_settings_template_and_document_name_the_same_variables() -> None:
    powertools = {name for name in variables() if name.startswith("POWERTOOLS_")}
    assert set(fields()) - ONLY_LOCAL == set(variables()) - powertools
    assert set(rows(sections("settings")["Variables"])) == set(variables()) | ONLY_LOCAL


def test_the_document_says_the_defaults_and_who_needs_what() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    for name, (_, default, functions) in rows(sections("settings")["Variables"]).items():
        given = variables().get(name, set())
        assert functions == ("all" if given == folders else ", ".join(sorted(given))), name
        assert default == (fields().get(name) or ""), name


def test_the_environment_is_read_by_the_settings_and_the_clock_alone() -> None:
    readers = {path.relative_to(LAYER).as_posix() for path in LAYER.rglob("*.py") if "os.environ" in path.read_text()}
    assert readers == {"settings.py", "clock.py"}
    assert re.findall(r'environ\S*\("(\w+)"\)', (LAYER / "clock.py").read_text()) == ["MOONLIT_CLOCK_FILE"]


def test_the_document_names_the_keys_of_the_secrets() -> None:
    source = "".join(path.read_text() for path in LAYER.rglob("*.py"))
    read = set(re.findall(r'\bsecret\(.+?\)\["(\w+)"\]', source))
    read |= set(re.findall(r'\bstored\["(\w+)"\]', (LAYER / "settings.py").read_text()))
    read |= {str(field.alias) for secret in SECRETS for field in secret.model_fields.values()}
    told = sections("settings")["Secrets"].partition("| --- |")[2]
    assert read == {"apiKey", "webhookSecrets", "clientId", "clientSecret", "practiceId", "key"} | {
        "username",
        "password",
        "host",
        "port",
        "dbname",
    }
    assert all(f"`{key}`" in told for key in read)


def test_the_document_says_the_practice_settings_and_their_defaults() -> None:
    known = {name: field.default for name, field in Rules.model_fields.items()}
    assert {name: int(cells[-1]) for name, cells in rows(sections("settings")["Practice settings"]).items()} == known


# ── Alarms and log lines ──────────────────────────────────────────────────────────────────────────────────────────────


def test_every_alarm_names_a_section_of_the_runbook() -> None:
    alarms = [each["Properties"] for each in RESOURCES.values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    headings = {heading.lower() for heading in sections("runbook")}
    assert alarms
    for alarm in alarms:
        named = re.fullmatch(r"runbook: (.+?) \(.+\)", alarm["AlarmDescription"])
        assert named, alarm["AlarmDescription"]
        assert named[1] in headings


@pytest.mark.parametrize("name", ["problems", "settings", "runbook", "observability"])
def test_a_section_that_is_referred_to_is_there(name: str) -> None:
    referred = re.findall(r'"([A-Z][^"\n]+)"', re.sub(r"```.*?```", "", text(name), flags=re.DOTALL))
    assert set(referred) <= set(sections("runbook"))


def test_resources_in_commands_are_those_of_the_template() -> None:
    assert set(re.findall(r"\$\(of (\w+)\)", text("runbook"))) <= set(RESOURCES)


def log_calls() -> Iterator[tuple[str, str, set[str | None]]]:
    """Yield the message, level and fields of every log call; None among the fields stands for `**more`."""
    for call in calls():
        owner, level = owner_and_name(call)
        if owner == "logger" and level in LOGGED:
            message = call.args[0]
            assert isinstance(message, ast.Constant), "a message is a constant"
            yield str(message.value), level, {keyword.arg for keyword in call.keywords}


def test_every_log_line_is_described_with_its_level_and_fields() -> None:
    told = rows(sections("observability")["Log lines"])
    logged = list(log_calls())
    assert set(told) == {message for message, _, _ in logged}
    for message, level, names in logged:
        described = set(told[message][1].split(", "))
        assert told[message][0] == level, message
        assert names - {None} <= described if None in names else names == described, message


def outcomes(value: ast.expr | None) -> Iterator[str]:
    """Yield the texts that an expression may come to, or the keys of what it does."""
    match value:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from outcomes(one)
            yield from outcomes(other)
        case ast.Dict(keys=keys):
            yield from (text for key in keys for text in outcomes(key))


def counted() -> Iterator[str]:
    """Yield what a sweep may say that it did: outcomes of writes to an EHR, and the keys that its steps count under."""
    for path, types in SWEPT_BY.items():
        for function in ast.walk(ast.parse((LAYER / path).read_text())):
            if not isinstance(function, ast.FunctionDef) or function.returns is None:
                continue
            counts = ast.unparse(function.returns) in types
            for node in ast.walk(function):
                match node:
                    case ast.Return(value=value) if counts:
                        yield from outcomes(value)
                    case ast.Assign(targets=[ast.Name(id="outcome" | "told")], value=value):
                        yield from outcomes(value)
                    case ast.Subscript(value=ast.Name(id="done"), slice=ast.Constant(value=str(name))):
                        yield name


def test_what_a_sweep_counts_is_described() -> None:
    told = rows(sections("observability")["Log lines"])["swept"][1].split(", ")
    assert sorted(told) == sorted(set(counted()))
