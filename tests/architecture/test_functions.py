"""Functions are thin: parse, one use case, answer. SQL, vendors and the environment are elsewhere."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

APPS = sorted((ROOT / "functions").glob("*/app.py"))
# Where a function's routes are too many for one file, an area of them each; they are held to the same.
ROUTES = [path for path in (ROOT / "layers/common/moonlit").rglob("*.py") if "new_router()\n" in path.read_text()]
THIN = [*APPS, *ROUTES]
ALLOWED = {"moonlit", "aws_lambda_powertools", *sys.stdlib_module_names} - {"os", "time", "socket", "subprocess"}
MORE = {"migrate": {"alembic"}}


def name_of(path: Path) -> str:
    return path.parent.name if path.stem == "app" else f"{path.parent.name}.{path.stem}"


@pytest.mark.parametrize("path", THIN, ids=name_of)
def test_a_function_imports_the_product_and_the_event_handler_only(path: Path) -> None:
    tree = ast.parse(path.read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {module.split(".")[0] for module in modules} <= ALLOWED | MORE.get(name_of(path), set())


@pytest.mark.parametrize("path", THIN, ids=name_of)
def test_a_function_has_no_try_and_reads_no_environment(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    assert "environ" not in path.read_text()


@pytest.mark.parametrize("path", ROUTES, ids=name_of)
def test_routes_beside_a_function_have_no_sql(path: Path) -> None:
    tree = ast.parse(path.read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not {module for module in modules if module.startswith(("sqlalchemy", "moonlit.db", "moonlit.settings"))}


# Each opens a transaction of its own, and a process has one connection.
OPENERS = {"wiring.begin", "wiring.practice_zone", "wiring.ehr_of", "partners.begin", "partners.zone", "auth.require"}


@pytest.mark.parametrize("path", THIN, ids=name_of)
def test_no_transaction_is_opened_within_another(path: Path) -> None:
    opened = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.With) and any(".begin()()" in ast.unparse(item.context_expr) for item in node.items)
    ]
    within = (call for node in opened for part in node.body for call in ast.walk(part) if isinstance(call, ast.Call))
    assert not {ast.unparse(call.func) for call in within} & OPENERS


def test_the_areas_of_the_admin_are_found() -> None:
    assert {"admin.visits", "admin.matching", "admin.runs"} <= set(map(name_of, ROUTES))


@pytest.mark.parametrize("path", APPS, ids=name_of)
def test_a_function_explains_itself_and_brings_sample_events(path: Path) -> None:
    assert (path.parent / "README.md").read_text().startswith(f"# {name_of(path)}\n")
    samples = sorted((path.parent / "events").glob("*.json"))
    assert samples
    for sample in samples:
        json.loads(sample.read_text())


def test_the_slot_oracle_imports_nothing_of_what_it_judges() -> None:
    oracle = ROOT / "tests" / "unit" / "availability" / "oracle.py"
    tree = ast.parse(oracle.read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {module for module in modules if module.split(".")[0] in {"moonlit", "local", "tests"}}


def test_the_dashboard_opens_its_transactions_as_a_partner() -> None:
    text = (ROOT / "functions" / "dashboard" / "app.py").read_text()
    assert "partners.begin()" in text
    assert " wiring.begin" not in text
    readers = {
        path.name
        for path in (ROOT / "layers" / "common" / "moonlit" / "partners").glob("*.py")
        if "wiring.begin" in path.read_text() or " database_url" in path.read_text()
    }
    assert not readers, "the functions' own login sees everybody"
