"""What a stack is started with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.options import BadOption, Options
from local.processes import ROOT
from tests.fixtures_athena import make_athena_account, make_slot


def test_without_any_variable_it_is_the_demo_clinic_at_its_own_time() -> None:
    options = Options.from_environment({})
    assert options.now == datetime.fromisoformat(options.clinic["as_of"])
    assert options.intakeq_account["api_key"]
    assert options.athena_account["client_secret"]
    assert (options.port, options.intakeq_base_url, options.athena_base_url) == (8000, None, None)
    assert options.state.folder == ROOT / ".local"


def test_an_empty_variable_is_an_unset_one() -> None:
    ehrs = ["INTAKEQ_ACCOUNT", "INTAKEQ_BASE_URL", "ATHENA_ACCOUNT", "ATHENA_BASE_URL"]
    empty = dict.fromkeys([*ehrs, "NOW", "CLINIC", "PORT", "MOONLIT_STATE"], "")
    assert Options.from_environment(empty) == Options.from_environment({})


def test_each_variable_has_its_say(tmp_path: Path) -> None:
    account = tmp_path / "account.json"
    account.write_text(json.dumps({"api_key": "k"}))
    athena = tmp_path / "athena.json"
    athena.write_text(json.dumps(make_athena_account()))
    options = Options.from_environment(
        {
            "NOW": "2026-12-01T10:00:00-07:00",
            "INTAKEQ_ACCOUNT": str(account),
            "INTAKEQ_BASE_URL": "http://127.0.0.1:9/api/v1/",
            "ATHENA_ACCOUNT": str(athena),
            "ATHENA_BASE_URL": "http://127.0.0.1:9/",
            "PORT": "0",
            "MOONLIT_STATE": str(tmp_path),
        }
    )
    assert options.now == datetime(2026, 12, 1, 17, tzinfo=UTC)
    assert options.intakeq_account == {"api_key": "k"}
    assert options.intakeq_base_url == "http://127.0.0.1:9/api/v1"
    assert options.athena_account == make_athena_account()
    assert options.athena_base_url == "http://127.0.0.1:9"
    assert (options.port, options.state.folder) == (0, tmp_path)


@pytest.mark.parametrize(
    ("clinic", "now"),
    [
        ({"as_of": "2026-12-01T17:00:00Z"}, datetime(2026, 12, 1, 17, tzinfo=UTC)),
        ({}, None),
        ({"as_of": "someday"}, None),
    ],
)
def test_a_clinic_brings_its_own_time(tmp_path: Path, clinic: dict[str, str], now: datetime | None) -> None:
    file = tmp_path / "clinic.json"
    file.write_text(json.dumps(clinic))
    assert Options.from_environment({"CLINIC": str(file)}).now == now


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOW", "2026-12-01T10:00:00"),
        ("NOW", "tomorrow"),
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("INTAKEQ_BASE_URL", "localhost"),
        ("CLINIC", "/nowhere/clinic.json"),
        ("INTAKEQ_ACCOUNT", "/nowhere/account.json"),
        ("ATHENA_BASE_URL", "localhost"),
        ("ATHENA_ACCOUNT", "/nowhere/account.json"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(BadOption, match=name):
        Options.from_environment({name: value})


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"api_key": 7}'])
def test_a_file_that_is_no_account_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "account.json"
    file.write_text(content)
    with pytest.raises(BadOption, match="INTAKEQ_ACCOUNT"):
        Options.from_environment({"INTAKEQ_ACCOUNT": str(file)})


@pytest.mark.parametrize(
    ("account", "complaint"),
    [
        ([], "no object"),
        ({}, "practice_id"),
        (make_athena_account(colour="blue"), "colour"),
        (make_athena_account(slots=[make_slot(1, providerid="99")]), "provider 99 is not in the file"),
        (make_athena_account(slots=[make_slot(1, "9 o'clock")]), "slots.0.starttime"),
    ],
)
def test_an_athena_account_is_refused_with_the_place_and_the_reason(
    tmp_path: Path, account: object, complaint: str
) -> None:
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account))
    with pytest.raises(BadOption, match=f"ATHENA_ACCOUNT.*{complaint}"):
        Options.from_environment({"ATHENA_ACCOUNT": str(file)})


def test_what_is_wrong_with_an_account_is_told_without_the_people_in_it(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text(json.dumps(make_athena_account(patients=["Dana Whitlock"])))
    with pytest.raises(BadOption, match=r"patients\.0") as refused:
        Options.from_environment({"ATHENA_ACCOUNT": str(file)})
    assert "Whitlock" not in str(refused.value)
