"""Taking back what a run did, all of it or nothing: only while nobody has used or changed it since."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.audit.store import Actor, Audit, Change
from moonlit.booking.repointing import REMEMBERED, UNSETTLED
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once, violated_constraint
from moonlit.provisioning.errors import ProvisioningContended, RunNotApplied, RunTouched
from moonlit.provisioning.runs import ENTITY, RUN, ProvisioningRuns
from moonlit.provisioning.store import Provisionable

_MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Undoing:
    """Undoes runs, also those that were killed half-way: what they did is known action by action."""

    begin: Begin
    clock: Clock

    def undo(self, run_id: UUID, actor: Actor) -> None:
        """Undo a run; one that is undone stays so.

        Raises:
            NotFound: There is no such run.
            RunNotApplied: It was a dry run.
            RunTouched: Something that it made was changed or used since; its `touched` names the instances.
            ProvisioningContended: Others changed the same rows, twice in a row.
        """
        retried_once(lambda: self._undo(run_id, actor), ProvisioningContended(f"run {run_id}"))

    def _undo(self, run_id: UUID, actor: Actor) -> None:
        now = self.clock.now()
        with self.begin() as connection:
            Provisionable(connection).lock()
            run = ProvisioningRuns(connection).locked(run_id)
            if run["mode"] != "apply":
                raise RunNotApplied(f"run {run_id}")
            if run["state"] == "undone":
                return
            connection.execute(_LOCK, {"run_id": run_id})
            self._expect_untouched(connection, run_id)
            self._take_back(connection, run_id)
            Audit(connection, actor, now).changed_each(
                Change("undo", ENTITY, instance_id, after, before)
                for instance_id, before, after in connection.execute(_UNDONE, {"run_id": run_id})
            )
            Audit(connection, actor, now).changed("undo", RUN, run_id, before={"state": run["state"]})
            connection.execute(_RUN_UNDONE, {"run_id": run_id, "now": now, "actor": actor.reference})

    def _expect_untouched(self, connection: sa.Connection, run_id: UUID) -> None:
        touched = sorted({str(found) for found in connection.execute(_TOUCHED, {"run_id": run_id}).scalars()})
        if touched:
            raise RunTouched(f"run {run_id}: {len(touched)} instances", touched=touched[:_MOST_TOLD])

    def _take_back(self, connection: sa.Connection, run_id: UUID) -> None:
        try:
            for statement in _TAKE_BACK:
                connection.execute(statement, {"run_id": run_id})
        except DBAPIError as error:
            if constraint := violated_constraint(error):
                raise RunTouched(f"run {run_id}: {constraint}", touched=[]) from None
            raise


_RUN = sa.bindparam("run_id", type_=sa.UUID)
_DONE = "(select * from provisioning_actions where run_id = :run_id and state = 'done') a"
# The visits that twins gave away.
_MOVED = f"""(
    select m.id::uuid as appointment_id, a.service_instance_id as from_id, (a.after ->> 'mergedInto')::uuid as into_id
    from {_DONE} cross join lateral jsonb_array_elements_text(a.kept -> 'appointmentIds') m (id)
    where a.action = 'retire_duplicate') moved"""

# Staff who change one of the instances wait, and find it as it is then; who books it does not.
_LOCK = sa.text(f"""
    select i.id from service_instances i where i.id in (select a.service_instance_id from {_DONE}) order by i.id
    for no key update of i
""").bindparams(_RUN)

# Each part looks from the run's actions along an index: there may be tens of thousands, of which the planner, right
# after the run, knows nothing.
_TOUCHED = sa.text(f"""
    -- A later run did something to the same instance.
    select a.service_instance_id from {_DONE}
    join provisioning_actions later on later.service_instance_id = a.service_instance_id and later.state = 'done'
    join provisioning_runs r on r.id = later.run_id
    where r.number > (select number from provisioning_runs where id = :run_id)
    union
    -- What was made is something else by now.
    select a.service_instance_id from {_DONE} left join service_instances i on i.id = a.service_instance_id
    where a.action = 'create_instance' and (i.retired_at is null and i.payer_id = a.payer_id
      and i.service_id = a.service_id and i.location = a.after ->> 'location'
      and i.pos_code = a.after ->> 'posCode') is not true
    union
    -- A visit refers to what was made.
    select a.service_instance_id from {_DONE} join appointments v on v.service_instance_id = a.service_instance_id
    where a.action = 'create_instance' and not exists (select from {_MOVED} where moved.appointment_id = v.id)
    union
    -- A visit that is on its way, to another time or EHR, may have to go back to what was made.
    select a.service_instance_id from {_DONE}
    where a.action = 'create_instance' and a.service_instance_id::text in (
      select {REMEMBERED} from ehr_writes w where {UNSETTLED} and {REMEMBERED} is not null)
    union
    -- A visit was booked by what was mapped.
    select a.service_instance_id from {_DONE} join appointments v on v.service_instance_id = a.service_instance_id
    where a.action in ('create_mapping', 'repair_mapping')
      and v.created_at > (select started_at from provisioning_runs where id = :run_id)
    union
    -- What was made was mapped by others.
    select a.service_instance_id from {_DONE}
    join service_instance_integrations m on m.service_instance_id = a.service_instance_id
    where a.action = 'create_instance' and not exists (
      select from provisioning_actions made where made.service_instance_id = m.service_instance_id
        and made.run_id = :run_id and made.action = 'create_mapping' and made.after ->> 'system' = m.system)
    union
    -- A mapping says something else.
    select a.service_instance_id from {_DONE} left join service_instance_integrations m
      on m.service_instance_id = a.service_instance_id and m.system = a.after ->> 'system'
    where a.action in ('create_mapping', 'repair_mapping') and m.external_id is distinct from a.after ->> 'externalId'
    union
    -- A twin, or the one it was merged into, is something else by now, or visits have moved on.
    select a.service_instance_id from {_DONE} left join service_instances i on i.id = a.service_instance_id
    left join service_instances kept on kept.id = (a.after ->> 'mergedInto')::uuid and kept.retired_at is null
    where a.action = 'retire_duplicate'
      and (kept.id is null or i.retired_reason is distinct from a.after ->> 'retiredReason')
    union
    select a.service_instance_id from {_DONE} join appointments v on v.service_instance_id = a.service_instance_id
    where a.action = 'retire_duplicate'
    union
    select moved.from_id from {_MOVED} join appointments v on v.id = moved.appointment_id
    where v.service_instance_id is distinct from moved.into_id
    union
    -- What was removed is there again.
    select a.service_instance_id from {_DONE} join service_instances i on i.id = a.service_instance_id
    where a.action = 'remove_orphan'
""").bindparams(_RUN)

_TAKE_BACK = tuple(
    sa.text(sql).bindparams(_RUN)
    for sql in (
        f"""
    delete from service_instance_integrations m using {_DONE}
    where a.action = 'create_mapping' and m.service_instance_id = a.service_instance_id
      and m.system = a.after ->> 'system'
        """,
        f"""
    update service_instance_integrations m set external_id = a.before ->> 'externalId' from {_DONE}
    where a.action = 'repair_mapping' and m.service_instance_id = a.service_instance_id
      and m.system = a.after ->> 'system'
        """,
        # The twin that stayed goes back first where it was retired itself: two may not be live at once.
        f"""
    update service_instances i set retired_at = was.retired_at, retired_reason = was.retired_reason
    from {_DONE} cross join lateral jsonb_populate_record(null::service_instances, a.kept -> 'kept') was
    where a.action = 'retire_duplicate' and i.id = was.id and was.retired_at is not null
        """,
        f"""
    update service_instances i set retired_at = was.retired_at, retired_reason = was.retired_reason
    from {_DONE} cross join lateral jsonb_populate_record(null::service_instances, a.kept -> 'duplicate') was
    where a.action = 'retire_duplicate' and i.id = was.id
        """,
        f"""
    update appointments v set service_instance_id = moved.from_id from {_MOVED} where v.id = moved.appointment_id
        """,
        # Where a visit on its way may have to go back to.
        f"""
    update ehr_writes w set move = jsonb_set(w.move, '{{before,service_instance_id}}', to_jsonb(moved.from_id))
    from {_MOVED} where w.appointment_id = moved.appointment_id and {REMEMBERED} = moved.into_id::text
        """,
        f"""
    delete from service_instances i using {_DONE}
    where a.action = 'create_instance' and i.id = a.service_instance_id
        """,
        f"""
    insert into service_instances select was.* from {_DONE}
    cross join lateral jsonb_populate_record(null::service_instances, a.kept -> 'instance') was
    where a.action = 'remove_orphan'
        """,
        f"""
    insert into service_instance_integrations select was.* from {_DONE}
    cross join lateral jsonb_populate_recordset(null::service_instance_integrations, a.kept -> 'mappings') was
    where a.action = 'remove_orphan'
        """,
    )
)
_UNDONE = sa.text("""
    with undone as (
        update provisioning_actions set state = 'undone' where run_id = :run_id and state = 'done'
        returning position, service_instance_id, before, after)
    select service_instance_id, before, after from undone order by position
""").bindparams(_RUN)
_RUN_UNDONE = sa.text("""
    update provisioning_runs set state = 'undone', undone_at = :now, undone_by = :actor,
        finished_at = coalesce(finished_at, :now) where id = :run_id
""").bindparams(_RUN)
