"""What staff do with service instances one by one: create, retire, map to an EHR."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.db.tables import payers
from moonlit.errors import NotFound
from moonlit.provisioning.instances import listing
from moonlit.provisioning.instances.answers import InstanceBody, InstanceShown, RetirementShown, SystemName
from moonlit.provisioning.instances.errors import InstanceContended, InstanceRetired
from moonlit.provisioning.instances.store import BY_STAFF, InstanceTables
from moonlit.web.malformed import in_body


@dataclass(frozen=True, slots=True)
class Instances:
    """Where service instances are kept; `zone` is that of the instants in answers."""

    begin: Begin
    clock: Clock
    zone: ZoneInfo

    def create(self, payer_id: UUID, body: InstanceBody, actor: Actor) -> InstanceShown:
        """Offer a service to the payer's members; it can be booked once it is mapped.

        Raises:
            NotFound: There is no such payer.
            RequestValidationError: There is no such service, or it is out of use.
            InstanceExists: The payer has it there already.
        """
        row = {"id": uuid4(), "payer_id": payer_id, **body.model_dump(by_alias=False)}
        with self.begin() as connection:
            tables = InstanceTables(connection)
            if not tables.has(payers, payer_id):
                raise NotFound("no such payer")
            in_use = tables.is_in_use(body.service_id)
            if not in_use:
                raise in_body("unknown_id" if in_use is None else "inactive_service", "serviceId")
            tables.add(row)
            told = {"payerId": str(payer_id), **body.model_dump(mode="json")}
            Audit(connection, actor, self.clock.now()).changed("create", "service_instance", row["id"], after=told)
            return listing.one(connection, row["id"], self.zone)

    def retire(self, instance_id: UUID, actor: Actor) -> None:
        """Take an instance out of use. Its visits stay as they are; once more changes nothing.

        Raises:
            NotFound: There is no such instance.
            InstanceContended: Others were at it for too long.
        """

        def retire() -> None:
            now = self.clock.now()
            with self.begin() as connection:
                tables = InstanceTables(connection)
                if tables.locked(instance_id)["retired_at"]:
                    return
                tables.retire(instance_id, now)
                Audit(connection, actor, now).changed(
                    "retire",
                    "service_instance",
                    instance_id,
                    before={"retiredReason": None},
                    after={"retiredReason": BY_STAFF},
                )

        retried_once(retire, InstanceContended(f"service instance {instance_id}"))

    def retirement(self, instance_id: UUID, actor: Actor) -> RetirementShown:
        """Return what retiring the instance would mean, and change nothing.

        Raises:
            NotFound: There is no such instance.
        """
        now = self.clock.now()
        with self.begin() as connection:
            tables = InstanceTables(connection)
            hit = tables.stranded_without(tables.locked(instance_id), now)
            if hit.items:
                Audit(connection, actor, now).read("service_instance", hit.patient_ids(), instance_id)
            return RetirementShown(instance=listing.one(connection, instance_id, self.zone), stranded=hit)

    def map(self, instance_id: UUID, system: SystemName, external_id: str, actor: Actor) -> InstanceShown:
        """Say what a live instance is called in an EHR; the same once more changes nothing.

        Raises:
            NotFound: There is no such instance.
            InstanceRetired: It is out of use.
            InstanceContended: Others were at it for too long.
        """
        kept = "intakeq" if system == "practiceq" else system

        def map_it() -> InstanceShown:
            with self.begin() as connection:
                tables = InstanceTables(connection)
                if tables.locked(instance_id)["retired_at"]:
                    raise InstanceRetired(f"service instance {instance_id}")
                before = tables.external_id(instance_id, kept)
                if before != external_id:
                    tables.map(instance_id, kept, external_id, is_new=before is None)
                    Audit(connection, actor, self.clock.now()).changed(
                        "map",
                        "service_instance",
                        instance_id,
                        before={"system": kept, "externalId": before},
                        after={"system": kept, "externalId": external_id},
                    )
                return listing.one(connection, instance_id, self.zone)

        return retried_once(map_it, InstanceContended(f"service instance {instance_id}"))
