"""What provisioning reads: the payers in their order, and for a batch of them everything that a plan looks at."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.db.tables import payers
from moonlit.db.turns import take_turn
from moonlit.payers.rules import Payer
from moonlit.provisioning.readiness import readiness
from moonlit.provisioning.rules import Candidate, DefaultService, Instance, Offer, rank


@dataclass(frozen=True, slots=True)
class Desired:
    """What the practice wants for every payer.

    Attributes:
        defaults: The default services that are in use.
        intakes: The services whose mapped instance makes a payer service-ready.
    """

    defaults: Sequence[DefaultService]
    intakes: frozenset[UUID]


class Provisionable:
    """Payers, instances and mappings as one transaction sees them."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def lock(self) -> None:
        """Wait for others who provision: two plans for one payer would make the same instances."""
        take_turn(self._connection, "provisioning")

    def desired(self) -> Desired:
        """Return what every payer is to have. A default service that is out of use is nobody's."""
        defaults, intakes = json.loads(self._connection.execute(_DESIRED).scalar_one())
        return Desired(
            [
                DefaultService(
                    Offer(UUID(row["service_id"]), row["location"], row["pos_code"]),
                    {"intakeq" if system == "practiceq" else system: str(i) for system, i in row["mappings"].items()},
                )
                for row in defaults
            ],
            frozenset(map(UUID, intakes)),
        )

    def payers(self, only: Collection[UUID] | None) -> list[UUID]:
        """Return the payers, or those of `only` that there are, in the order in which they are provisioned."""
        rows = self._connection.execute(_PAYERS, {"only": None if only is None else list(only)})
        return [payer.id for payer in sorted((Payer(*row) for row in rows), key=rank)]

    def candidates(self, payer_ids: Sequence[UUID], today: date) -> list[Candidate]:
        """Return payers with all their instances, in the order of `payer_ids`; one statement for all of them."""
        given = {"payer_ids": list(payer_ids), "today": today}
        found = json.loads(self._connection.execute(_CANDIDATES, given).scalar_one())
        return [
            Candidate(
                Payer(UUID(row["id"]), row["name"], row["type"], row["status_code"]),
                row["contracted"],
                [_instance(instance) for instance in row["instances"]],
            )
            for row in found
        ]

    def orphans(self) -> list[Instance]:
        """Return the instances without a payer, by id."""
        return [_instance(row) for row in json.loads(self._connection.execute(_ORPHANS).scalar_one())]

    def standing(self) -> tuple[int, int]:
        """Return how many payers there are, and how many of them are service-ready."""
        total = self._connection.execute(sa.select(sa.func.count()).select_from(payers)).scalar_one()
        return total, sum(intake.is_mapped for intake in readiness(self._connection).values())


def _instance(row: dict[str, Any]) -> Instance:
    offer = Offer(UUID(row["service_id"]), row["location"], row["pos_code"])
    return Instance(UUID(row["id"]), offer, row["retired_reason"], row["references"], row["mappings"])


_DESIRED = sa.text("""
select json_build_array(
  (select coalesce(json_agg(d order by position), '[]')
   from practice_settings, jsonb_array_elements(default_services) with ordinality as e (d, position)
   join services s on s.id = (d ->> 'service_id')::uuid and s.is_active),
  (select coalesce(json_agg(id), '[]') from services where kind = 'intake' and is_active))::text
""")

_PAYERS = sa.text("""
select id, name, type, status_code from payers where cast(:only as uuid[]) is null or id = any(cast(:only as uuid[]))
""").bindparams(sa.bindparam("only", type_=sa.ARRAY(sa.UUID)))

_INSTANCE = """json_build_object(
  'id', i.id, 'service_id', i.service_id, 'location', i.location, 'pos_code', i.pos_code,
  'retired_reason', i.retired_reason,
  'references', (select count(*) from appointments a where a.service_instance_id = i.id),
  'mappings', (select coalesce(json_object_agg(m.system, m.external_id), '{}')
               from service_instance_integrations m where m.service_instance_id = i.id))"""

_CANDIDATES = sa.text(f"""
select coalesce(json_agg(json_build_object(
    'id', p.id, 'name', p.name, 'type', p.type, 'status_code', p.status_code,
    'contracted', exists (
      select from provider_payer_networks n where n.payer_id = p.id and (
        n.status = 'credentialing_in_progress'
        or (n.status = 'active' and (n.end_date is null or n.end_date >= :today)))),
    'instances', (select coalesce(json_agg({_INSTANCE} order by i.id), '[]')
                  from service_instances i where i.payer_id = p.id))
  order by w.position), '[]')::text
from unnest(:payer_ids) with ordinality as w (id, position) join payers p on p.id = w.id
""").bindparams(sa.bindparam("payer_ids", type_=sa.ARRAY(sa.UUID)))

_ORPHANS = sa.text(f"""
select coalesce(json_agg({_INSTANCE} order by i.id), '[]')::text from service_instances i where i.payer_id is null
""")
