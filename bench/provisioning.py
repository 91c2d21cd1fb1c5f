"""A thousand payers made bookable by the backfill, beside the bare inserts of the same instances and mappings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.findings import Finding
from bench.instance import handle
from bench.probing import probe
from bench.sizes import Sizes
from bench.timing import stopwatch
from moonlit import wiring

if TYPE_CHECKING:  # The functions' processes import this module too, and have no use for the rig.
    from bench.rig import Rig

_ADMIN = "admin@example.org"
_ADD = """
insert into staff_users (id, email, name, role) values (gen_random_uuid(), '{admin}', 'Admin', 'admin');
insert into payers (id, name, type, status_code)
select gen_random_uuid(), 'Payer ' || n, 'private', 'approved' from generate_series(1, {payers}) n;
insert into services (id, name, kind, duration_minutes, modality)
select gen_random_uuid(), 'Service ' || n, 'psychotherapy', 60, 'telehealth' from generate_series(1, {services}) n;
update practice_settings set default_services = (select jsonb_agg(jsonb_build_object(
    'name', name, 'service_id', id, 'location', 'Bench', 'pos_code', '10', 'required', false,
    'mappings', jsonb_build_object('intakeq', id, 'athena', id))) from services where name like 'Service %');
"""
_BARE = """
with r as (select * from jsonb_to_recordset(%s) as r (id uuid, service_id uuid, payer_id uuid)),
made as (insert into service_instances (id, service_id, payer_id, location, pos_code)
    select id, service_id, payer_id, 'Bench', '10' from r)
select 1
"""
_BARE_MAPPINGS = """
insert into service_instance_integrations (id, service_instance_id, system, external_id)
select gen_random_uuid(), r.id, s, r.service_id::text
from jsonb_to_recordset(%s) as r (id uuid, service_id uuid), unnest(array['intakeq', 'athena']) s
"""
_LATEST = "select id from provisioning_runs where mode = 'apply' order by number desc limit 1"
_MADE = """
select jsonb_agg(jsonb_build_object('id', id, 'service_id', service_id, 'payer_id', payer_id))::text
from service_instances where location = 'Bench'
"""


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:
    """Measure a dry run, the real one and taking it back; then insert what it made into an equal database."""
    practice = rig.copy(rig.practice())
    with rig.owner(practice) as engine, engine.begin() as connection:
        statements = _ADD.format(admin=_ADMIN, payers=sizes.payers, services=sizes.payer_services)
        for statement in filter(str.strip, statements.split(";")):
            connection.exec_driver_sql(statement)
    equal, large = rig.copy(practice), rig.copy(practice)
    with rig.function("backfill", practice) as instance:
        dry = instance.call(taken, "dryRun")
        applied = instance.call(taken, "apply")
    with rig.owner(practice) as engine, engine.begin() as connection:
        rows = str(connection.exec_driver_sql(_MADE).scalar_one())
    with rig.function("backfill", practice) as instance:
        undone = instance.call(undo)
    with rig.function("backfill", equal) as instance:
        bare = instance.call(inserted, rows)
    probed = probe("call", "backfill", rig.environment("backfill", large), _event("apply"))
    made = len(json.loads(rows))
    note = f"{made * 3:,} actions"
    for what, took in (("backfill's dry run", dry), ("backfill applied", applied), ("backfill undone", undone)):
        yield Finding(what=f"{what}, beside the bare inserts", n=sizes.payers, ours=took, reference=bare, note=note)
    yield Finding(what="backfill: memory after it", n=1, ours=probed.megabytes, unit="MB", bar=256)


def taken(mode: str) -> float:
    """Return the milliseconds of a call."""
    return stopwatch(partial(_expect, mode))


def _expect(mode: str) -> None:
    answer: Any = handle(_event(mode))
    if answer["actionsFailed"] or answer["payersLeft"]:
        raise RuntimeError(f"backfill left something undone: {answer['state']}")


def _event(mode: str) -> dict[str, str]:
    return {"mode": mode, "strategy": "all", "requestedBy": _ADMIN}


def undo() -> float:
    """Return the milliseconds that it takes to take the latest run back."""
    with wiring.begin()() as connection:
        run_id = connection.exec_driver_sql(_LATEST).scalar_one()
    return stopwatch(lambda: handle({"undo": str(run_id), "requestedBy": _ADMIN}))


def inserted(rows: str) -> float:
    """Return the milliseconds of the bare inserts, committed."""
    with wiring.begin()() as connection:
        return stopwatch(partial(_insert, connection.connection, rows))


def _insert(driver: Any, rows: str) -> None:
    cursor = driver.cursor()
    cursor.execute(_BARE, (rows,))
    cursor.execute(_BARE_MAPPINGS, (rows,))
    driver.commit()
