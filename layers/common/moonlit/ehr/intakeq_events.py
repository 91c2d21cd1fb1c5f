"""IntakeQ's webhooks: what the body of one says.

Nothing about it proves who sent it, so it is a hint that the next pull checks.
"""

from __future__ import annotations

from dataclasses import dataclass

from moonlit.ehr.intakeq_rows import visit_of
from moonlit.ehr.port import EhrRefused, EhrVisit
from moonlit.ehr.rows import json_of

_DELETED = "AppointmentDeleted"
_LONGEST_NAME = 100
_CHANGED = frozenset(
    f"Appointment{what}" for what in ("Created", "Confirmed", "Rescheduled", "Canceled", "Declined", "Missed")
)


@dataclass(frozen=True, slots=True)
class Event:
    """A webhook's say.

    Attributes:
        event_type: The vendor's word, None when there is none.
        visit: The visit it is about; None for kinds that are of no use here.
        deleted: The visit is gone, whatever its status still says.
        practice_id: Whose account it is about, None when it does not say.
    """

    event_type: str | None
    visit: EhrVisit | None = None
    deleted: bool = False
    practice_id: str | None = None


def event_of(body: bytes) -> Event:
    """Read a webhook's body.

    Raises:
        EhrRefused: `unreadable`; nothing of the body is quoted.
    """
    said = json_of(body)
    if not isinstance(said, dict):
        raise EhrRefused("unreadable")
    practice_id = None if said.get("PracticeId") is None else str(said["PracticeId"])
    event_type = said.get("EventType") or said.get("Type")
    if event_type not in (_DELETED, *_CHANGED):
        is_name = isinstance(event_type, str) and len(event_type) <= _LONGEST_NAME and event_type.isprintable()
        return Event(event_type if is_name else None, practice_id=practice_id)
    row = said.get("Appointment")
    if not isinstance(row, dict):
        raise EhrRefused("unreadable")
    return Event(event_type, visit_of(row), deleted=event_type == _DELETED, practice_id=practice_id)
