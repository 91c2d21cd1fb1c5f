"""Whose patients a provider may ask for: whoever has, had or will have a visit with them."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from moonlit.errors import NotFound

# Over all ids of the same human, and for the attending as for the resident.
_IS_OWN = sa.text("""
    select exists (
        select from appointments a
        join providers p on p.id in (a.provider_id, a.rendering_provider_id)
        where a.patient_id = :patient_id and a.status <> 'failed'
            and p.person_id = (select person_id from providers where id = :provider_id))
""")


def expect_own(connection: sa.Connection, patient_id: UUID, provider_id: UUID | None) -> None:
    """Make sure that the patient is one of the provider's.

    Raises:
        NotFound: They are not, or the provider is nobody.
    """
    values = {"patient_id": patient_id, "provider_id": provider_id}
    if provider_id is None or not connection.execute(_IS_OWN, values).scalar_one():
        raise NotFound(f"patient {patient_id}")
