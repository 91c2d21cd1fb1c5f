"""What has to be there for the admin's sample events about syncs, and what each is promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_access import add_staff
from tests.fixtures_booking import PAYER
from tests.fixtures_functions import Functions, sample
from tests.fixtures_intakeq import NOON
from tests.fixtures_mirror import account_of, add_patient, pulled, seen, visits


def _path_id(name: str) -> UUID:
    return UUID(next(iter(sample(f"admin/{name}")["pathParameters"].values())))


def _sent(name: str) -> Any:
    return json.loads(sample(f"admin/{name}")["body"])


def _body(answer: Mapping[str, Any], status: int = 200) -> Any:
    assert answer["statusCode"] == status, answer
    return json.loads(answer["body"])


def an_admin(functions: Functions) -> None:
    """Store who the samples' `sub` is."""
    claims = sample("admin/conflicts")["requestContext"]["authorizer"]["jwt"]["claims"]
    add_staff(functions, "admin", claims["sub"])


def a_doubt(functions: Functions) -> None:
    """Leave a question about a client who may be the patient whom the sample names."""
    an_admin(functions)
    add_patient(functions, id=UUID(_sent("resolve_match_review")["patientId"]), email="twins@example.org")
    add_patient(functions, "Bea", email="twins@example.org")
    pulled(functions, seen(1))
    functions.execute("update match_reviews set id = :id", id=_path_id("resolve_match_review"))


def doubts(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["reason"], len(item["candidates"])) == ("several_candidates", 2)


def resolved(functions: Functions, answer: Any) -> None:
    assert _body(answer)["state"] == "resolved"
    assert [str(each["patient_id"]) for each in visits(functions).values()] == [
        _sent("resolve_match_review")["patientId"]
    ]


def a_practitioner(functions: Functions) -> None:
    """Show a practitioner whom nobody has mapped, and the provider whom the sample names."""
    an_admin(functions)
    pulled(functions, seen(1, PractitionerId=_sent("map_practitioner")["practitionerId"]))
    provider_id = UUID(_sent("map_practitioner")["providerId"])
    provider = {"id": provider_id, "name": "Ruth Abel", "ehr_system": "intakeq", "timezone": "America/Denver"}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.providers).values(provider))


def practitioners(_: Functions, answer: Any) -> None:
    first, *others = _body(answer)["items"]
    assert (first["practitionerId"], first["providerId"]) == (_sent("map_practitioner")["practitionerId"], None)
    assert all(each["providerId"] for each in others)


def mapped(functions: Functions, answer: Any) -> None:
    assert _body(answer)["providerId"] == _sent("map_practitioner")["providerId"]


def a_proposal(functions: Functions) -> None:
    """Leave a proposal under the id that the sample names."""
    an_admin(functions)
    add_patient(functions, intakeq_client_id="7001")
    pulled(functions, seen(1, CustomFields=[{"Name": "Member ID", "Answer": "W-000142"}]))
    functions.execute("update insurance_proposals set id = :id", id=_path_id("resolve_insurance_proposal"))


def proposed(_: Functions, answer: Any) -> None:
    (item,) = _body(answer)["items"]
    assert (item["memberId"], item["payerId"]) == ("W-000142", None)


def accepted(_: Functions, answer: Any) -> None:
    said = _body(answer)
    assert (said["state"], said["payerId"]) == ("accepted", str(PAYER))


def budget(_: Functions, answer: Any) -> None:
    assert [lane["lane"] for lane in _body(answer)["items"][0]["lanes"]] == [
        "booking",
        "webhook",
        "on_demand",
        "nightly",
    ]


def started(functions: Functions, answer: Any) -> None:
    runs = _body(answer, 202)["runs"]
    assert functions.queues["PullQueue"].take() == [{"runId": run["runId"]} for run in runs]


def a_stopped_run(functions: Functions) -> None:
    """Store a run that the brake has stopped, under the id that the sample names."""
    an_admin(functions)
    row = {
        "id": _path_id("confirm_sync_run"), "account_id": account_of(functions), "sync_type": "automated_daily",
        "state": "failed", "phase": "pulled", "error": "brake", "window_first": NOON.date(),
        "window_last": NOON.date(), "started_at": NOON, "touched_at": NOON, "finished_at": NOON,
    }  # fmt: skip
    with functions.begin() as connection:
        connection.execute(sa.insert(t.sync_runs).values(row))
    functions.clock.advance(minutes=1)


GIVEN: Mapping[str, Callable[[Functions], None]] = {
    "admin/confirm_sync_run": a_stopped_run,
    "admin/ehr_budget": an_admin,
    "admin/insurance_proposals": a_proposal,
    "admin/map_practitioner": a_practitioner,
    "admin/match_reviews": a_doubt,
    "admin/practitioner_mappings": a_practitioner,
    "admin/resolve_insurance_proposal": a_proposal,
    "admin/resolve_match_review": a_doubt,
    "admin/start_sync_runs": an_admin,
}
PROMISED: Mapping[str, Callable[[Functions, Any], None]] = {
    "admin/confirm_sync_run": started,
    "admin/ehr_budget": budget,
    "admin/insurance_proposals": proposed,
    "admin/map_practitioner": mapped,
    "admin/match_reviews": doubts,
    "admin/practitioner_mappings": practitioners,
    "admin/resolve_insurance_proposal": accepted,
    "admin/resolve_match_review": resolved,
    "admin/start_sync_runs": started,
}
