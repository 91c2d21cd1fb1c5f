"""Which of a practice's own fields tell an insurance, and what they tell. Every practice names its fields as it likes.

In doubt a field tells nothing: what is found here is put before people and taken over by nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from moonlit.ehr.port import ToldInsurance

_LONGEST = 100
# Words that change nothing about what a field asks for; `secondary` is not among them.
_FILLERS = {"primary", "health", "medical", "your", "patient", "client", "the", "s", "please", "enter"}
_NUMBER = {"no", "num", "nr", "numbers", "ids", "id", "identification", "number"}
_NUMBER_OF = {
    "member": "member_id",
    "policy": "member_id",
    "subscriber": "member_id",
    "membership": "member_id",
    "insurance": "member_id",
    "member policy": "member_id",
    "policy member": "member_id",
    "group": "group_number",
    "policy group": "group_number",
}
_PAYERS = {
    "carrier", "insurance", "insurance carrier", "insurance company", "insurance company name", "insurance name",
    "insurance payer", "insurance plan name", "insurance provider", "insurance provider name", "insurer",
    "name of insurance", "name of insurance company", "payer", "payer name",
}  # fmt: skip
_NOTHING = {"", "-", "n/a", "na", "no", "none", "not applicable", "self pay", "self-pay", "unknown", "yes"}


def insurance_in(answers: Iterable[tuple[Any, Any]]) -> ToldInsurance | None:
    """Return what fields, each with its answer, tell of an insurance; None without a payer or a member number.

    Two fields that contradict each other tell nothing.
    """
    told: dict[str, set[str]] = {}
    for field, answer in answers:
        part, value = part_of(field), _text(answer)
        if part and value:
            told.setdefault(part, set()).add(value)
    found = {part: values.pop() for part, values in told.items() if len(values) == 1}
    if not found.keys() & {"payer_name", "member_id"}:
        return None
    return ToldInsurance(found.get("payer_name"), found.get("member_id"), found.get("group_number"))


def part_of(field: Any) -> str | None:
    """Return which part of an insurance a field asks for, by its name; None for all other fields."""
    if not isinstance(field, str):
        return None
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", field).replace("#", " number ")
    words = [word for word in re.findall(r"[a-z]+", spaced.casefold()) if word not in _FILLERS]
    subject = [word for word in words if word not in _NUMBER]
    if len(subject) == len(words):
        return "payer_name" if " ".join(words) in _PAYERS else None
    if len(subject) > 1 and subject[0] == "insurance":
        subject = subject[1:]
    return _NUMBER_OF.get(" ".join(subject))


def _text(answer: Any) -> str | None:
    """Return an answer in one line, None when it says nothing or is no answer to such a question."""
    if isinstance(answer, bool) or not isinstance(answer, (str, int)):
        return None
    text = " ".join(str(answer).split())
    return text if text.casefold() not in _NOTHING and len(text) <= _LONGEST and text.isprintable() else None
