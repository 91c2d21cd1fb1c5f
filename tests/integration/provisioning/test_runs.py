"""A dry run shows what applying does; a second one finds nothing to do; undoing leaves everything as it was."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db import tables as t
from moonlit.db.engine import beginner, connect
from moonlit.errors import NotFound
from moonlit.provisioning import answers
from moonlit.provisioning.errors import RunNotApplied, RunTouched
from moonlit.provisioning.instances.use_cases import Instances
from moonlit.provisioning.request import RunRequest
from moonlit.provisioning.rules import Action, Offer, Step, Strategy
from moonlit.provisioning.undoing import Undoing
from moonlit.provisioning.use_cases import BATCH_PAYERS, Provisioner
from moonlit.provisioning.writing import Done, Writer
from tests.integration.clinic.test_load_and_export import counted_statements
from tests.integration.provisioning.clinics import ADMIN, ZONE, Found, steps

ORPHANS_AND_ALL = 12  # What a run for everybody costs more, however many there are.


@pytest.mark.parametrize("strategy", ["contracted", "hybrid", "all"])
def test_a_dry_run_changes_nothing_and_applying_does_exactly_that_once(found: Found, strategy: str) -> None:
    before = found.export()
    dry = found.run("dryRun", strategy)
    assert dry.actions
    assert found.export() == before
    applied = found.run("apply", strategy)
    assert steps(applied) == steps(dry)
    assert applied.counts == dry.counts
    assert {action.state for action in applied.actions} == {"done"}
    after = found.export()
    again = found.run("apply", strategy)
    assert (again.actions, again.state, found.export()) == ([], "applied", after)
    undone = found.undo(applied.run_id)
    assert (undone.state, {action.state for action in undone.actions}) == ("undone", {"undone"})
    assert found.export() == before
    assert found.undo(applied.run_id) == undone
    assert steps(found.run("dryRun", strategy)) == steps(dry)


def test_who_is_ready_afterwards_is_bookable_by_every_default_service(found: Found) -> None:
    run = found.run("apply", "all")
    assert run.counts.service_ready_after == run.counts.payers_total == len(found.export()["payers"])
    live = found.rows("""
        select p.id, count(distinct i.id) as instances, count(m) as mappings from payers p
        join service_instances i on i.payer_id = p.id and i.retired_at is null
        join practice_settings s on true
        join lateral jsonb_array_elements(s.default_services) d on (d ->> 'service_id')::uuid = i.service_id
        left join service_instance_integrations m on m.service_instance_id = i.id
        group by p.id
    """)  # fmt: skip
    assert {(row["instances"], row["mappings"]) for row in live} == {(3, 6)}
    assert len(live) == run.counts.payers_total


def test_every_change_is_in_the_audit_log_with_its_actor_and_request(found: Found) -> None:
    run = found.run("apply")
    lines = found.rows("select * from audit_log where entity = 'service_instance' order by at, id")
    assert Counter(line["action"] for line in lines) == Counter(action.action for action in run.actions)
    assert {(line["actor_kind"], line["actor_id"], line["request_id"]) for line in lines} == {
        ("staff", ADMIN.user_id, "request")
    }
    told = {(line["action"], line["entity_id"], str(line["before"]), str(line["after"])) for line in lines}
    assert told == {
        (action.action, str(action.service_instance_id), str(action.before), str(action.after))
        for action in run.actions
    }
    found.undo(run.run_id)
    undone = found.rows("select * from audit_log where action = 'undo'")
    assert len(undone) == len(run.actions) + 1  # And one for the run itself.
    runs = found.rows(
        "select action, after ->> 'strategy' as strategy from audit_log where entity = 'provisioning_run' order by action"
    )
    assert [(line["action"], line["strategy"]) for line in runs] == [("apply", "hybrid"), ("undo", None)]


def test_of_some_payers_only_those_and_no_orphans(found: Found) -> None:
    every = found.run("dryRun", "all")
    chosen = [payer_id for payer_id in dict.fromkeys(action.payer_id for action in every.actions) if payer_id][:2]
    run = found.run("apply", "all", chosen)
    assert {action.payer_id for action in run.actions} == set(chosen)
    assert run.counts.service_ready_after <= run.counts.service_ready_before + 2
    with pytest.raises(NotFound):
        found.run("apply", "all", [*chosen, uuid4()])


def test_orphans_that_visits_refer_to_stay_and_are_told(found: Found) -> None:
    run = found.run("apply")
    referenced = found.rows("""
        select i.id, count(*) as visits from service_instances i join appointments a on a.service_instance_id = i.id
        where i.payer_id is null group by i.id
    """)  # fmt: skip
    assert [(one.service_instance_id, one.references) for one in run.orphans_kept] == [
        (row["id"], row["visits"]) for row in referenced
    ]
    assert run.orphans_kept
    left = found.rows("select id from service_instances where payer_id is null")
    assert [row["id"] for row in left] == [row["id"] for row in referenced]


def test_who_maps_an_instance_while_its_run_is_undone_is_not_told_that_it_is_mapped(
    found: Found, app_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = found.export()
    run = found.run("apply")
    made = {one.service_instance_id for one in run.actions if one.action == "create_instance"}
    mappings = [one for one in run.actions if one.action == "create_mapping" and one.service_instance_id in made]
    mapping = mappings[0]
    system: Literal["athena", "practiceq"] = "athena" if (mapping.after or {})["system"] == "athena" else "practiceq"
    engine, expect = connect(app_url), Undoing._expect_untouched
    staff = Instances(beginner(engine), found.clock, ZONE)
    under_way: list[Future[Any]] = []

    def mapped_meanwhile(undoing: Undoing, connection: sa.Connection, run_id: UUID) -> None:
        expect(undoing, connection, run_id)
        under_way.append(pool.submit(staff.map, mapping.service_instance_id, system, "their-own", ADMIN))
        wait(under_way, timeout=0.5)

    monkeypatch.setattr(Undoing, "_expect_untouched", mapped_meanwhile)
    with ThreadPoolExecutor(1) as pool:
        found.undo(run.run_id)
    with pytest.raises(NotFound):
        under_way[0].result()
    engine.dispose()
    assert found.export() == before


TOUCHES = {
    "its mapping was changed": (
        "create_mapping",
        "update service_instance_integrations set external_id = 'other' where service_instance_id = :id",
    ),
    "its mapping was taken away": (
        "create_mapping",
        "delete from service_instance_integrations where service_instance_id = :id",
    ),
    "it was retired": (
        "create_instance",
        "update service_instances set retired_at = now(), retired_reason = 'x' where id = :id",
    ),
    "a visit refers to it": (
        "create_instance",
        (
            "update appointments set service_instance_id = :id where id = (select id from appointments where id not in ("
            "select jsonb_array_elements_text(kept -> 'appointmentIds')::uuid from provisioning_actions) limit 1)"
        ),
    ),
    "it was retired for another reason": (
        "retire_duplicate",
        "update service_instances set retired_reason = 'x' where id = :id",
    ),
    "a visit that was moved from it has moved on": (
        "retire_duplicate",
        (
            "update appointments set service_instance_id = null where id in ("
            "select jsonb_array_elements_text(kept -> 'appointmentIds')::uuid from provisioning_actions"
            " where service_instance_id = :id)"
        ),
    ),
    "it is there again": (
        "remove_orphan",
        (
            "insert into service_instances (id, service_id, location, pos_code)"
            " select :id, id, 'Telehealth', '10' from services limit 1"
        ),
    ),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_what_was_used_or_changed_since_is_not_undone(found: Found, touch: str) -> None:
    run = found.run("apply", "all")
    action, statement = TOUCHES[touch]
    instance_id = next(one.service_instance_id for one in run.actions if one.action == action)
    found.execute(statement, id=instance_id)
    touched = found.export()
    with pytest.raises(RunTouched) as refused:
        found.undo(run.run_id)
    assert refused.value.extra["touched"] == [str(instance_id)]
    assert found.export() == touched
    assert found.shown(run.run_id) == run


def test_a_dry_run_has_nothing_to_undo_and_nobody_undoes_what_is_not_there(found: Found) -> None:
    with pytest.raises(RunNotApplied):
        found.undo(found.run("dryRun").run_id)
    with pytest.raises(NotFound):
        found.undo(uuid4())


def test_a_run_is_not_undone_under_a_later_one_that_touched_the_same(found: Found) -> None:
    first = found.run("apply")
    instance_id = next(one.service_instance_id for one in first.actions if one.action == "create_mapping")
    by_hand = TOUCHES["its mapping was changed"][1]
    found.execute(by_hand, id=instance_id)
    found.undo(found.run("apply").run_id)  # What people did stands again, and is mended by the next run.
    later = found.run("apply")
    with pytest.raises(RunTouched) as refused:
        found.undo(first.run_id)
    assert refused.value.extra["touched"] == [str(instance_id)]
    found.undo(later.run_id)


def test_a_repair_and_the_run_before_it_are_undone_in_turn(found: Found) -> None:
    before = found.export()
    first = found.run("apply")
    found.execute("""
        update practice_settings set default_services = jsonb_set(default_services, '{0,mappings,intakeq}', '"new"')
    """)  # fmt: skip
    second = found.run("apply")
    assert {action.action for action in second.actions} == {"repair_mapping"}
    with pytest.raises(RunTouched):
        found.undo(first.run_id)
    found.undo(second.run_id)
    found.undo(first.run_id)
    found.execute("""
        update practice_settings set default_services = jsonb_set(default_services, '{0,mappings,intakeq}', to_jsonb(cast(:id as text)))
    """, id=before["practice"]["default_services"][0]["mappings"]["intakeq"])  # fmt: skip
    assert found.export() == before


def test_a_twin_that_was_retired_and_is_better_is_live_again_until_it_is_undone(found: Found) -> None:
    (twins,) = found.rows("""
        select l.id as live, r.id as retired from service_instances l join service_instances r
        using (service_id, payer_id, location, pos_code)
        where l.retired_at is null and r.retired_reason = 'duplicate_on_import'
    """)  # fmt: skip
    live, retired = twins["live"], twins["retired"]
    found.execute("update service_instance_integrations set service_instance_id = :retired where service_instance_id = :live", live=live, retired=retired)  # fmt: skip
    before = found.export()
    run = found.run("apply")
    rows = {row["id"]: row for row in found.rows("select * from service_instances")}
    assert (rows[retired]["retired_at"], rows[live]["retired_reason"]) == (None, "duplicate_merged")
    assert not found.rows("select id from appointments where service_instance_id = :id", id=live)
    found.undo(run.run_id)
    assert found.export() == before


def test_what_the_database_refuses_fails_alone_and_the_next_run_makes_it(found: Found) -> None:
    found.execute("""
        create function refuse() returns trigger language plpgsql as $$ begin
            if new.service_instance_id in (
                select i.id from service_instances i join payers p on p.id = i.payer_id where p.type = 'self_pay') then
                raise exception 'not this one' using errcode = 'check_violation', constraint = 'ck_made_up';
            end if;
            return new;
        end $$
    """)  # fmt: skip
    found.execute("create trigger refuse before insert on service_instance_integrations for each row execute function refuse()")  # fmt: skip
    run = found.run("apply", "all")
    failed = [action for action in run.actions if action.state == "failed"]
    assert run.state == "partial"
    assert run.actions_failed == len(failed) > 1
    assert {(action.action, action.error) for action in failed} == {("create_mapping", "ck_made_up")}
    made = {row["id"] for row in found.rows("select id from service_instances")}
    assert {action.service_instance_id for action in failed} <= made
    assert run.counts.service_ready_after < run.counts.payers_total
    found.execute("drop trigger refuse on service_instance_integrations")
    again = found.run("apply", "all")
    assert sorted((str(a.service_instance_id), str(a.after)) for a in again.actions) == sorted(
        (str(a.service_instance_id), str(a.after)) for a in failed
    )
    assert again.counts.service_ready_after == again.counts.payers_total


def test_a_thousand_payers_cost_as_many_statements_a_batch_as_a_few(engine: sa.Engine, found: Found) -> None:
    services = [{"id": uuid4(), "name": f"S{n}", "kind": "psychotherapy", "duration_minutes": 60, "modality": "telehealth"} for n in range(7)]  # fmt: skip
    found.execute("truncate payers cascade")
    with found.begin() as connection:
        connection.execute(sa.insert(t.services), services)
        connection.execute(sa.text("""
            insert into payers (id, name, type, status_code)
            select gen_random_uuid(), 'Payer ' || n, 'private', 'approved' from generate_series(1, 1000) n
        """))  # fmt: skip
        connection.execute(
            sa.text("""
                update practice_settings set default_services = default_services || (
                    select jsonb_agg(default_services -> 0 || jsonb_build_object('service_id', id)) from services
                    where id = any(:ids))
            """),
            {"ids": [service["id"] for service in services]},
        )  # fmt: skip
    ids = [row["id"] for row in found.rows("select id from payers order by name")]

    def statements_of(mode: Any, payer_ids: list[UUID] | None) -> int:
        request = RunRequest(mode=mode, strategy=Strategy.ALL, payer_ids=payer_ids)
        with counted_statements(engine) as statements:
            found.provisioner().run(request, ADMIN)
        return len(statements)

    for mode in ("dryRun", "apply"):
        few, one_batch = statements_of(mode, ids[:2]), statements_of(mode, ids[2 : 2 + BATCH_PAYERS])
        two_batches = statements_of(mode, ids[300 : 300 + 2 * BATCH_PAYERS])
        assert few == one_batch
        batch = two_batches - one_batch
        assert statements_of(mode, None) <= one_batch + 4 * batch + ORPHANS_AND_ALL
    run_id = found.rows("select id from provisioning_runs order by started_at, payers_total limit 1")[0]["id"]
    with counted_statements(engine) as statements:
        found.shown(run_id)
    assert len(statements) <= 4
    (row,) = found.rows(
        "select count(*) as live from service_instances where retired_at is null and payer_id is not null"
    )
    assert row["live"] == 10_000


def test_a_long_run_is_told_a_page_at_a_time(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_ACTIONS", 50)
    run = found.run("dryRun", "all")
    seen, cursor = list(run.actions), run.next_cursor
    while cursor:
        with found.begin() as connection:
            page = answers.shown(connection, run.run_id, ZONE, found.clock.now(), cursor=cursor)
        seen, cursor = [*seen, *page.actions], page.next_cursor
    assert len(seen) == run.actions_total > 100
    monkeypatch.setattr(answers, "MOST_ACTIONS", 5000)
    assert found.shown(run.run_id).actions == seen


def test_a_run_without_time_says_what_is_left_and_the_next_one_does_it(found: Found) -> None:
    provisioner = Provisioner(found.begin, found.clock, ZONE, lambda: 1.0)
    run = found.shown(provisioner.run(RunRequest(mode="apply"), ADMIN))
    assert (run.state, run.actions, run.payers_left) == ("partial", [], run.counts.payers_total)
    assert found.run("apply").payers_left == 0


def test_two_at_once_make_everything_once(found: Found, app_url: str) -> None:
    engines = [connect(app_url), connect(app_url)]
    others = [Found(beginner(engine), found.clock) for engine in engines]
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda one: one.run("apply", "all"), others))
    assert [action.error for run in runs for action in run.actions if action.error] == []
    assert found.run("apply", "all").actions == []
    made = [run for run in runs if run.actions]
    for run in reversed(made):
        found.undo(run.run_id)
    for engine in engines:
        engine.dispose()


def test_a_visit_that_was_booked_by_what_was_mapped_keeps_its_mapping(found: Found) -> None:
    run = found.run("apply", "all")
    made = {one.service_instance_id for one in run.actions if one.action == "create_instance"}
    mapped = next(
        one.service_instance_id
        for one in run.actions
        if one.action == "create_mapping" and one.service_instance_id not in made
    )
    found.execute(
        "update appointments set service_instance_id = :id, created_at = created_at + interval '1 day'"
        " where id = (select id from appointments where id not in ("
        "select jsonb_array_elements_text(kept -> 'appointmentIds')::uuid from provisioning_actions) limit 1)",
        id=mapped,
    )
    with pytest.raises(RunTouched) as refused:
        found.undo(run.run_id)
    assert refused.value.extra["touched"] == [str(mapped)]


def test_what_depends_on_an_instance_that_others_made_meanwhile_is_left_alone(found: Found) -> None:
    (row,) = found.rows("select * from service_instances where retired_reason = 'duplicate_on_import'")
    found.execute("delete from service_instance_integrations where service_instance_id in (select id from service_instances where payer_id = :payer)", payer=row["payer_id"])  # fmt: skip
    offer = Offer(row["service_id"], row["location"], "77")
    found.execute("update service_instances set pos_code = '77' where id = :id", id=row["id"])
    theirs, ours = uuid4(), uuid4()
    found.execute(
        "insert into service_instances (id, service_id, payer_id, location, pos_code)"
        " values (:id, :service_id, :payer_id, :location, '77')",
        id=theirs, service_id=offer.service_id, payer_id=row["payer_id"], location=offer.location,
    )  # fmt: skip
    before = found.export()
    steps_ = (
        Step(Action.CREATE_INSTANCE, row["payer_id"], offer.service_id, ours, None, {"location": offer.location, "posCode": "77"}),
        Step(Action.RETIRE_DUPLICATE, row["payer_id"], offer.service_id, row["id"], {}, {}, merged_into=ours),
        Step(Action.CREATE_MAPPING, row["payer_id"], offer.service_id, ours, None, {"system": "intakeq", "externalId": "x"}),
    )  # fmt: skip
    with found.begin() as connection:
        done = Writer(connection, found.clock.now()).carry_out([Done(n, step) for n, step in enumerate(steps_)])
    assert [one.error for one in done] == ["overtaken"] * 3
    assert found.export() == before
