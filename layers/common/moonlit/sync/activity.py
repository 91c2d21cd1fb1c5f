"""What a patient's timeline says of syncs: who refreshed, when, and how much changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from moonlit.sync.logs import Counts

NOTE = """
    insert into patient_activity_log (id, patient_id, at, kind, actor, details)
    select gen_random_uuid(), patient_id, :now, 'ehr_sync', :actor, details from {lines}
"""
_ADD = sa.text(NOTE.format(lines="jsonb_to_recordset(cast(:rows as jsonb)) as r (patient_id uuid, details jsonb)"))


def note_activity(
    connection: sa.Connection,
    counts: Mapping[str, Counts],
    actor: str,
    reference: Mapping[str, Any],
    now: datetime,
    *,
    even_if_nothing_changed: bool = False,
) -> None:
    """Add a line to the timeline of each patient for whom something changed.

    Args:
        connection: The transaction of the changes.
        counts: By patient.
        actor: Who asked, as `Actor.reference` says it, or what kind of sync it was.
        reference: Ids under which more is to be found.
        now: The current instant.
        even_if_nothing_changed: Somebody looks at the patient: that they asked is a line of its own.
    """
    lines = [
        {"patient_id": patient_id, "details": {**reference, **asdict(each)}}
        for patient_id, each in counts.items()
        if each.new or each.updated or even_if_nothing_changed
    ]
    if lines:
        connection.execute(_ADD, {"rows": json.dumps(lines, separators=(",", ":")), "actor": actor, "now": now})
