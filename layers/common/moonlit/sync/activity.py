"""What a patient's timeline says of syncs: who refreshed, when, and how much changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from moonlit.audit.store import Actor
from moonlit.sync.logs import Counts

# What an organization asked for is its business. Others who look after the patient are told what changed, not by whom:
# that would say that the patient is known there.
NOTE = """
    insert into patient_activity_log (id, patient_id, organization_id, at, kind, actor, details)
    select gen_random_uuid(), n.patient_id, n.organization_id, :now, 'ehr_sync', n.actor, n.details
    from {lines} cross join lateral (
        select l.patient_id, cast(:organization_id as uuid) as organization_id, cast(:actor as text) as actor, l.details
        union all
        select distinct l.patient_id, f.organization_id, 'sync', l.details from patient_organization_affiliations f
        where f.patient_id = l.patient_id and f.status = 'active' and l.changed
            and f.organization_id <> cast(:organization_id as uuid)) n
"""
_ADD = sa.text(
    NOTE.format(lines="jsonb_to_recordset(cast(:rows as jsonb)) as l (patient_id uuid, changed boolean, details jsonb)")
)


def note_activity(
    connection: sa.Connection,
    counts: Mapping[str, Counts],
    actor: Actor | str,
    reference: Mapping[str, Any],
    now: datetime,
    *,
    even_if_nothing_changed: bool = False,
) -> None:
    """Add a line to the timeline of each patient for whom something changed.

    Args:
        connection: The transaction of the changes.
        counts: By patient.
        actor: Who asked, or what kind of sync it was.
        reference: Ids under which more is to be found.
        now: The current instant.
        even_if_nothing_changed: Somebody looks at the patient: that they asked is a line of its own.
    """
    lines = [
        {"patient_id": patient_id, "changed": bool(each.new or each.updated), "details": {**reference, **asdict(each)}}
        for patient_id, each in counts.items()
        if each.new or each.updated or even_if_nothing_changed
    ]
    who, organization_id = (actor, None) if isinstance(actor, str) else (actor.reference, actor.organization_id)
    if lines:
        rows = json.dumps(lines, separators=(",", ":"))
        connection.execute(_ADD, {"rows": rows, "actor": who, "organization_id": organization_id, "now": now})
