"""What the database tells of the last calls: right, one's own, and in bounded work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.audit.activity import DAY, HOUR, WEEK
from app.audit.events import Event
from app.principal import LAN, Principal
from app.store import activity as module
from app.store.activity import activity, calls_of
from app.store.audit import SqlAudit
from app.store.engine import Database
from app.store.open import Store

NOW = 1_800_000_000.0
MS = int(NOW * 1000)
ALICE = Principal("person", "alice@example.com", "tunnel", "alice@example.com")
CALL = Event(
    door="tunnel",
    operation="tools/call",
    name="search",
    decision="allow",
    request_id="r",
    principal=ALICE.id,
    kind="person",
)
DENIED = replace(CALL, name="delete_note", decision="deny", reason="why", status=403)
REFUSED = Event("tunnel", "door", "GET /mcp", "refuse", reason="missing", status=401)
SIGN_IN = replace(CALL, operation="sign-in", name=ALICE.id)


@pytest.fixture
async def database(opened: Store) -> Database:
    return opened.database


async def keep(database: Database, *stamped: tuple[int, Event]) -> None:
    await SqlAudit(database, bytes(32)).append(stamped)


async def test_an_empty_log_is_a_quiet_day(database: Database) -> None:
    seen = await activity(database, NOW)
    assert (seen.whole, seen.seen, seen.denials, seen.refusals) == (True, (), (), ())
    assert [hour.calls for hour in seen.hours] == [0] * 24
    assert await calls_of(database, ALICE) == ()


async def test_people_and_services_with_what_they_did_in_a_day_and_a_week(database: Database) -> None:
    await keep(
        database,
        (MS - WEEK - 1, CALL),
        (MS - 3 * DAY, CALL),
        (MS - 3 * DAY, DENIED),
        (MS - HOUR, CALL),
        (MS - HOUR, DENIED),
        (MS - 5, SIGN_IN),
        (MS - 4, replace(CALL, principal="x.access", kind="service")),
        (MS - 3, REFUSED),
        (MS - 2, replace(CALL, principal="root", kind="operator", door="cli", operation="policy/check")),
    )
    seen = (await activity(database, NOW)).seen
    assert [(one.principal, one.kind) for one in seen] == [("x.access", "service"), (ALICE.id, "person")]
    alice = seen[1]
    assert alice.last == MS - 5
    assert (alice.calls_day, alice.denied_day, alice.calls_week, alice.denied_week) == (2, 1, 4, 2)


async def test_hours_are_whole_the_newest_first(database: Database) -> None:
    this_hour = MS - MS % HOUR
    await keep(
        database,
        (this_hour - 24 * HOUR, CALL),
        (this_hour - 23 * HOUR, CALL),
        (this_hour - 1, DENIED),
        (this_hour, CALL),
        (this_hour, REFUSED),
    )
    hours = (await activity(database, NOW)).hours
    assert [hour.start for hour in hours] == [this_hour - n * HOUR for n in range(24)]
    assert (hours[0].calls, hours[0].denied, hours[0].refused) == (1, 0, 1)
    assert (hours[1].calls, hours[1].denied) == (1, 1)
    assert hours[23].calls == 1
    assert sum(hour.calls for hour in hours) == 3


async def test_denials_and_refusals_are_the_newest_with_their_reasons(database: Database) -> None:
    await keep(database, *[(MS - 100 + n, replace(DENIED, request_id=str(n))) for n in range(30)])
    await keep(database, *[(MS - 50 + n, replace(REFUSED, request_id=str(n))) for n in range(30)])
    seen = await activity(database, NOW)
    assert [one.request_id for one in seen.denials] == [str(n) for n in range(29, 9, -1)]
    assert [one.request_id for one in seen.refusals] == [str(n) for n in range(29, 19, -1)]
    assert (seen.denials[0].reason, seen.refusals[0].reason) == ("why", "missing")


async def test_no_more_than_the_newest_records_are_counted_and_it_says_since_when(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(database, *[(MS - HOUR + n, CALL) for n in range(100)])
    assert (await activity(database, NOW)).whole
    monkeypatch.setattr(module, "COUNTED", 10)
    monkeypatch.setattr(module, "_BOUNDS", module._BOUNDS.replace("50000", "10"))
    seen = await activity(database, NOW)
    assert (seen.whole, seen.since) == (False, MS - HOUR + 89)
    assert seen.seen[0].calls_week == 10


async def test_calls_are_ones_own_the_newest_first_without_signing_in(database: Database) -> None:
    await keep(
        database,
        *[(MS + n, replace(CALL, request_id=str(n))) for n in range(25)],
        (MS + 30, SIGN_IN),
        (MS + 31, replace(CALL, principal="bob@example.com")),
        (MS + 32, replace(CALL, principal=LAN.id, kind="lan", door="lan")),
    )
    assert [call.request_id for call in await calls_of(database, ALICE)] == [str(n) for n in range(24, 4, -1)]
    assert len(await calls_of(database, LAN)) == 1


async def test_a_command_of_somebody_on_the_machine_with_the_same_name_is_not_a_call(
    database: Database,
) -> None:
    await keep(database, (MS, replace(CALL, principal="lan", kind="operator", door="cli")))
    assert await calls_of(database, LAN) == ()


async def test_signing_in_and_consenting_are_seen_and_are_no_calls(database: Database) -> None:
    others = ("sign-in", "identity/mismatch", "oauth/consent")
    await keep(database, *[(MS, replace(CALL, operation=operation)) for operation in others])
    seen = await activity(database, NOW)
    assert [(one.principal, one.last, one.calls_week) for one in seen.seen] == [(ALICE.id, MS, 0)]
    assert sum(hour.calls for hour in seen.hours) == 0
    assert await calls_of(database, ALICE) == ()
