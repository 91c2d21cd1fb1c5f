"""athenahealth's conventions: pages behind one another, arrays of one, and errors inside a 200."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from moonlit.ehr.athena_rows import day_text
from moonlit.ehr.http import EhrHttp
from moonlit.ehr.port import EhrOutcomeUnknown, EhrRefused, EhrUnavailable, EhrVisit, Lane, OpenSlot
from moonlit.ehr.rows import name_key, shown_id

PAGE_ROWS = 500
GONE, TAKEN = "404", "409"

# Who the patient is tells whose visit it is where their id is not known yet; every read shows the same of them.
WITH_PATIENT = {"showpatientdetail": "true"}

_YES = ("1", "true")
_DAY = timedelta(days=1)


def refusal_code(status: int, body: Any) -> str | None:
    """Name a refusal; a practice that is not known would otherwise look like visits that are gone."""
    error = body.get("error") if isinstance(body, Mapping) else None
    return None if str(status) == GONE and "practice" in str(error).casefold() else str(status)


class Calls:
    """The requests of one practice, in the vendor's manner."""

    def __init__(self, http: EhrHttp) -> None:
        self._http = http

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def rows(self, path: str, name: str, lane: Lane, parameters: Mapping[str, str]) -> list[Any]:
        """Return all rows of a list, which stand under `name`."""
        found: list[Any] = []
        page, more = 0, True
        while more:
            page += 1
            rows, more = self.page(path, name, lane, parameters, page)
            found += rows
        return found

    def page(
        self, path: str, name: str, lane: Lane, parameters: Mapping[str, str], page: int
    ) -> tuple[list[Any], bool]:
        """Return page `page` (from 1) of a list and whether another follows.

        A page may take several requests: some lists give fewer rows at once than they are asked for.
        """
        first, found, more = (page - 1) * PAGE_ROWS, list[Any](), True
        while more and len(found) < PAGE_ROWS:
            window = {"limit": str(PAGE_ROWS - len(found)), "offset": str(first + len(found))}
            rows, more = listed(self._http.read(path, lane, {**parameters, **window}), name)
            if more and not rows:
                raise EhrUnavailable("answered an empty page before the last one")
            found += rows
        return found, more

    def array(self, path: str, lane: Lane, parameters: Mapping[str, str]) -> list[Any]:
        """Return the rows of a bare array."""
        rows = self._http.read(path, lane, parameters)
        if not isinstance(rows, list):
            raise EhrUnavailable("answered something other than a list")
        return rows

    def one(self, path: str, lane: Lane, parameters: Mapping[str, str] | None = None) -> Any:
        """Return what is read by its id, which comes as an array of one; None when the id is not known.

        Raises:
            EhrRefused: `unreadable`: it is no array of one.
        """
        try:
            answer = self._http.read(path, lane, parameters)
        except EhrRefused as refused:
            if refused.code == GONE:
                return None
            raise
        return only_row(answer)

    def object(self, path: str, lane: Lane) -> Mapping[str, Any]:
        """Return a JSON object."""
        answer = self._http.read(path, lane)
        if not isinstance(answer, Mapping):
            raise EhrUnavailable("answered something other than an object")
        return answer

    def taken(self, path: str, name: str, lane: Lane, parameters: Mapping[str, str]) -> list[Any]:
        """Return rows that are handed out once only.

        Raises:
            EhrRefused: `not_granted`: nothing is subscribed to, or the app may not read this.
            EhrOutcomeUnknown: Rows may have been handed out, and are lost.
        """
        answer = self._http.take(path, lane, parameters, forbidden="not_granted")
        try:
            return listed(answer, name)[0]
        except EhrUnavailable as error:
            raise EhrOutcomeUnknown(error.detail) from None

    def send(self, method: str, path: str, lane: Lane, form: Mapping[str, str], *, forbidden: str | None = None) -> Any:
        """Write, and return the answer, whatever it says."""
        return self._http.write(method, path, lane, form, forbidden=forbidden)


def listed(answer: Any, name: str) -> tuple[list[Any], bool]:
    """Return the rows under `name`, and whether more follow.

    Raises:
        EhrUnavailable: This is not that API speaking.
    """
    rows = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise EhrUnavailable("answered something other than a list")
    return rows, bool(answer.get("next"))


def only_row(answer: Any) -> Any:
    """Return the row of an array of one.

    Raises:
        EhrRefused: `unreadable`: it is none.
    """
    if isinstance(answer, list) and len(answer) == 1 and answer[0] is not None:
        return answer[0]
    raise EhrRefused("unreadable")


def written_row(answer: Any) -> Mapping[str, Any]:
    """Return the row with which a write answers.

    Raises:
        EhrOutcomeUnknown: It tells of an error, or nothing that makes sense.
    """
    row = answer[0] if isinstance(answer, list) and len(answer) == 1 else None
    if not isinstance(row, Mapping) or row.get("errormessage"):
        raise EhrOutcomeUnknown("answered something other than what was written")
    return row


def says_yes(answer: Any) -> bool:
    """Tell whether an answer without rows says that it was done: a bare 1, or `success` in one of its forms."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, Mapping):
        answer = None if answer.get("errormessage") else answer.get("success")
    return name_key(str(answer)) in _YES


def appointment_path(external_id: str) -> str:
    """Return where an appointment is, or the slot that it was."""
    return f"appointments/{quote(external_id, safe='')}"


def id_of(row: Any) -> str:
    """Return the id of an appointment that could not be read."""
    return shown_id(row.get("appointmentid")) if isinstance(row, Mapping) else ""


def joined(ids: Iterable[str]) -> str:
    """Return ids as a list parameter, each once."""
    return ",".join(dict.fromkeys(ids))


def padded_days(first: date, last: date) -> dict[str, str]:
    """Return the days to ask for, one more on each side: they are those of each department."""
    return {"startdate": day_text(first - _DAY), "enddate": day_text(last + _DAY)}


def within[Timed: (EhrVisit, OpenSlot)](found: Iterable[Timed], days: tuple[date, date], zone: ZoneInfo) -> list[Timed]:
    """Return what starts on the first to the last of the practice's days."""
    opens, closes = (datetime.combine(day, datetime.min.time(), zone) for day in (days[0], days[1] + _DAY))
    return [each for each in found if opens <= each.starts_at < closes]
