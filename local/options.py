"""What a stack is started with, as the environment says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pydantic import AwareDatetime, HttpUrl, TypeAdapter, ValidationError

from local import demo_data
from local.clinic import ClinicRefused, read_file
from local.host.sandbox import Libraries
from local.processes import ROOT
from local.simulators.athena.file import AccountFile
from local.state import State

DEFAULT_PORT = 8000
_HIGHEST_PORT = 65535
_INSTANT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)
_HTTP_URL: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


class BadOption(ValueError):
    """A variable of the environment does not say what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to start a stack.

    Attributes:
        clinic: A clinic file's object, loaded into the empty database.
        intakeq_account: An IntakeQ account file's object, served by the simulator.
        athena_account: An athenahealth account file's object, served by the other one.
        now: Where the clock starts, aware; None for the machine's own time.
        intakeq_base_url: Another server in the place of the simulator.
        athena_base_url: The same of athenahealth.
        port: The HTTP API's; 0 for any free one.
        template: What is run, and with it `libraries`, what its functions may import.
    """

    state: State
    clinic: Mapping[str, Any]
    intakeq_account: Mapping[str, Any]
    athena_account: Mapping[str, Any] = field(default_factory=demo_data.athena_account)
    now: datetime | None = None
    intakeq_base_url: str | None = None
    athena_base_url: str | None = None
    port: int = DEFAULT_PORT
    template: Path = ROOT / "template.yaml"
    libraries: Libraries = field(default_factory=Libraries)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read what README.md lists: NOW, CLINIC, PORT, MOONLIT_STATE, and an account and a base URL for each EHR.

        Unset and empty mean the same. Without NOW the clock starts at the clinic's own `as_of`.

        Raises:
            BadOption: One of them is wrong; the text says which.
        """
        given = {name: value for name, value in environment.items() if value}
        clinic = _clinic(given.get("CLINIC"))
        return cls(
            state=State.of(given),
            clinic=clinic,
            intakeq_account=_intakeq_account(given.get("INTAKEQ_ACCOUNT")),
            athena_account=_athena_account(given.get("ATHENA_ACCOUNT")),
            now=_instant(given["NOW"]) if "NOW" in given else _as_of(clinic),
            intakeq_base_url=_url(given, "INTAKEQ_BASE_URL"),
            athena_base_url=_url(given, "ATHENA_BASE_URL"),
            port=_port(given.get("PORT", str(DEFAULT_PORT))),
        )


def _clinic(path: str | None) -> Mapping[str, Any]:
    if path is None:
        return demo_data.clinic()
    try:
        return read_file(Path(path))
    except ClinicRefused as error:
        raise BadOption(f"CLINIC={path}: {error}") from error


def _intakeq_account(path: str | None) -> Mapping[str, Any]:
    if path is None:
        return demo_data.account()
    account = _object("INTAKEQ_ACCOUNT", path)
    if not isinstance(account.get("api_key"), str):
        raise BadOption(f"INTAKEQ_ACCOUNT={path}: not an account file, it has no api_key")
    return account


def _athena_account(path: str | None) -> Mapping[str, Any]:
    if path is None:
        return demo_data.athena_account()
    account = _object("ATHENA_ACCOUNT", path)
    try:
        AccountFile.model_validate(account)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadOption(f"ATHENA_ACCOUNT={path}: {where}: {first['msg']}") from None
    return account


def _object(variable: str, path: str) -> Mapping[str, Any]:
    try:
        account = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise BadOption(f"{variable}={path}: {type(error).__name__}, a JSON file is needed") from error
    if not isinstance(account, dict):
        raise BadOption(f"{variable}={path}: not an account file, it holds no object")
    return account


def _instant(text: str) -> datetime:
    try:
        return _INSTANT.validate_strings(text)
    except ValidationError:
        raise BadOption(f"NOW={text}: an instant with an offset is needed, such as 2026-12-01T17:00:00Z") from None


def _as_of(clinic: Mapping[str, Any]) -> datetime | None:
    with suppress(ValidationError):  # The loader refuses a file with another, and says so better.
        return _INSTANT.validate_strings(str(clinic.get("as_of")))
    return None


def _url(given: Mapping[str, str], variable: str) -> str | None:
    text = given.get(variable)
    if text is None:
        return None
    try:
        _HTTP_URL.validate_strings(text)
    except ValidationError:
        raise BadOption(f"{variable}: an http or https URL is needed") from None
    return text.rstrip("/")


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= _HIGHEST_PORT):
        raise BadOption(f"PORT={text}: a number up to {_HIGHEST_PORT} is needed, 0 for any free port")
    return int(text)
