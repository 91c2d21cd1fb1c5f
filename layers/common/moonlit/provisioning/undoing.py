"""Taking back what a run did, all of it or nothing: only while nobody has used or changed it since."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.audit.store import Actor, Audit, Change
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


_DONE = "a as (select * from provisioning_actions where run_id = :run_id and state = 'done')"


def _statement(sql: str) -> sa.TextClause:
    return sa.text(f"with {_DONE} {sql}").bindparams(sa.bindparam("run_id", type_=sa.UUID))


_TOUCHED = _statement("""
    select a.service_instance_id from a left join service_instances i on i.id = a.service_instance_id
    where exists (
      select from provisioning_actions later join provisioning_runs r on r.id = later.run_id
      where later.service_instance_id = a.service_instance_id and later.state = 'done'
        and r.number > (select number from provisioning_runs where id = :run_id))
    or case a.action
      when 'create_instance' then
        (i.retired_at is null and i.payer_id = a.payer_id and i.service_id = a.service_id
          and i.location = a.after ->> 'location' and i.pos_code = a.after ->> 'posCode') is not true
        or exists (select from appointments v where v.service_instance_id = i.id and not exists (
            select from a merged where merged.action = 'retire_duplicate'
              and jsonb_exists(merged.kept -> 'appointmentIds', v.id::text)))
        or exists (select from service_instance_integrations m where m.service_instance_id = i.id and not exists (
            select from a made where made.action = 'create_mapping' and made.service_instance_id = i.id
              and made.after ->> 'system' = m.system))
      when 'retire_duplicate' then
        (i.retired_reason = a.after ->> 'retiredReason') is not true
        or not exists (select from service_instances kept
                       where kept.id = (a.after ->> 'mergedInto')::uuid and kept.retired_at is null)
        or exists (select from appointments v where v.service_instance_id = i.id)
        or exists (select from jsonb_array_elements_text(a.kept -> 'appointmentIds') moved
                   join appointments v on v.id = moved::uuid
                   where v.service_instance_id is distinct from (a.after ->> 'mergedInto')::uuid)
      when 'remove_orphan' then i.id is not null
      else not exists (select from service_instance_integrations m where m.service_instance_id = i.id
                       and m.system = a.after ->> 'system' and m.external_id = a.after ->> 'externalId')
    end
""")

_TAKE_BACK = tuple(
    map(
        _statement,
        (
            """
    delete from service_instance_integrations m using a
    where a.action = 'create_mapping' and m.service_instance_id = a.service_instance_id
      and m.system = a.after ->> 'system'
            """,
            """
    update service_instance_integrations m set external_id = a.before ->> 'externalId' from a
    where a.action = 'repair_mapping' and m.service_instance_id = a.service_instance_id
      and m.system = a.after ->> 'system'
            """,
            # The twin that stayed goes back first where it was retired itself: two may not be live at once.
            """
    update service_instances i set retired_at = was.retired_at, retired_reason = was.retired_reason
    from a cross join lateral jsonb_populate_record(null::service_instances, a.kept -> 'kept') was
    where a.action = 'retire_duplicate' and i.id = was.id and was.retired_at is not null
            """,
            """
    update service_instances i set retired_at = was.retired_at, retired_reason = was.retired_reason
    from a cross join lateral jsonb_populate_record(null::service_instances, a.kept -> 'duplicate') was
    where a.action = 'retire_duplicate' and i.id = was.id
            """,
            """
    update appointments v set service_instance_id = a.service_instance_id
    from a cross join lateral jsonb_array_elements_text(a.kept -> 'appointmentIds') moved
    where a.action = 'retire_duplicate' and v.id = moved::uuid
            """,
            """
    delete from service_instances i using a where a.action = 'create_instance' and i.id = a.service_instance_id
            """,
            """
    insert into service_instances select was.* from a
    cross join lateral jsonb_populate_record(null::service_instances, a.kept -> 'instance') was
    where a.action = 'remove_orphan'
            """,
            """
    insert into service_instance_integrations select was.* from a
    cross join lateral jsonb_populate_recordset(null::service_instance_integrations, a.kept -> 'mappings') was
    where a.action = 'remove_orphan'
            """,
        ),
    )
)
_UNDONE = sa.text("""
    with undone as (
        update provisioning_actions set state = 'undone' where run_id = :run_id and state = 'done'
        returning position, service_instance_id, before, after)
    select service_instance_id, before, after from undone order by position
""").bindparams(sa.bindparam("run_id", type_=sa.UUID))
_RUN_UNDONE = sa.text("""
    update provisioning_runs set state = 'undone', undone_at = :now, undone_by = :actor,
        finished_at = coalesce(finished_at, :now) where id = :run_id
""").bindparams(sa.bindparam("run_id", type_=sa.UUID))
