"""What is on record: one line for each thing that happened, with all that the record promises."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest

from app.audit.chain import timestamp
from tests.house import NIGHTLY, START, TestHouse

from .calls import ALICE, BOB, ERAS, RAY, ask, call, file_of, lines_of, record_now, record_of, structured
from .tables import Line, lines_in, notes_and_their_records
from .waiting import until

# As INTERFACE has them.
FIELDS = (
    "ts, seq, request_id, cf_ray, door, principal, kind, client, operation, name, args_sha256, decision, "
    "rules, reason, status, ms, prev, hash"
)


def documented_digest(**arguments: Any) -> str:
    return sha256(json.dumps(arguments, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def told(line: Line, *names: str) -> list[Any]:
    return [line[name] for name in names]


@pytest.mark.parametrize("speaking", ERAS)
async def test_a_change_at_the_tunnel_door_is_on_record_before_its_answer_leaves(
    house: TestHouse, speaking: str
) -> None:
    answer = await call(house, "create_note", who=ALICE, speaking=speaking, title="Otter", text="swims")
    line = record_now(house, answer)
    assert set(line) >= set(FIELDS.split(", "))
    assert line["ts"] == timestamp(int(START * 1000))
    assert told(line, "door", "principal", "kind", "client") == ["tunnel", ALICE, "person", ""]
    assert told(line, "operation", "name", "decision", "status") == [
        "tools/call",
        "create_note",
        "allow",
        200,
    ]
    assert told(line, "rules", "cf_ray") == [["writers"], RAY]
    assert line["reason"] == "writers: e-mail is alice@example.com"
    assert line["args_sha256"] == documented_digest(title="Otter", text="swims")
    assert line["ms"] > 0


@pytest.mark.parametrize("speaking", ERAS)
async def test_a_denial_is_on_record_before_its_answer_leaves(house: TestHouse, speaking: str) -> None:
    await call(house, "whoami", who=BOB, speaking=speaking)
    answer = await call(house, "create_note", who=BOB, speaking=speaking, title="Otter", text="swims")
    line = record_now(house, answer)
    assert told(line, "principal", "decision", "status", "ms") == [BOB, "deny", 403, 0.0]
    assert line["reason"] == "needs mcp:tools:write; its rules grant mcp:tools:read"
    assert line["args_sha256"] == documented_digest(title="Otter", text="swims")


async def test_a_tool_that_is_not_there_a_resource_and_a_prompt_are_denials_too(house: TestHouse) -> None:
    await call(house, "whoami", who="eve@elsewhere.example")
    for answer, name in (
        (await call(house, "no_tool", x=1), "no_tool"),
        (await ask(house, "resources/read", who="eve@elsewhere.example", uri="note://x"), "note://x"),
        (await ask(house, "prompts/get", who="eve@elsewhere.example", name="poem"), "poem"),
    ):
        assert told(record_now(house, answer), "name", "decision", "status") == [name, "deny", 403]


@pytest.mark.parametrize("who", [None, ALICE, NIGHTLY])
async def test_a_read_is_on_record_within_a_moment(house: TestHouse, who: str | None) -> None:
    answer = await call(house, "search", who=who, query="otter")
    waited = await until(lambda: bool(lines_of(house, answer)), 1.0)
    assert waited < 0.5  # 50 ms, the disk, and a busy machine
    line = await record_of(house, answer)
    kind = "lan" if who is None else "person" if "@" in who else "service"
    assert told(line, "principal", "kind", "name", "decision") == [who or "lan", kind, "search", "allow"]
    assert line["args_sha256"] == documented_digest(query="otter")


async def test_a_sign_in_is_on_record_once_for_each_assertion_with_the_request_that_brought_it(
    house: TestHouse,
) -> None:
    token = house.team.token(ALICE)
    headers = {"Cf-Ray": RAY}
    first = await house.tunnel_request(token=token, headers=headers)
    await house.tunnel_request(token=token, headers=headers)
    line = await record_of(house, first, "sign-in")
    assert told(line, "door", "principal", "kind", "name") == ["tunnel", ALICE, "person", ALICE]
    assert line["cf_ray"] == RAY
    house.clock.advance(1)  # a new login is another assertion
    second = await house.tunnel_request(token=house.team.token(ALICE))
    assert (await record_of(house, second, "sign-in"))["cf_ray"] == ""
    assert len(lines_in(file_of(house), "operation = 'sign-in'")) == 2


async def test_what_a_door_refuses_is_on_record(house: TestHouse) -> None:
    for answer, door, reason, status in (
        (await house.tunnel_request(headers={"Cf-Ray": RAY}), "tunnel", "missing", 401),
        (await house.tunnel_request(token="x.y.z", headers={"Cf-Ray": RAY}), "tunnel", "malformed", 401),
        (await house.lan_request(headers={"Cf-Ray": RAY}), "lan", "misrouted", 421),
        (await house.lan_request(headers={"Host": "evil.example"}), "lan", "wrong_host", 421),
    ):
        line = await record_of(house, answer, "door")
        assert told(line, "door", "decision", "name") == [door, "refuse", "GET /healthz"]
        assert (line["reason"].partition(" ")[0], line["status"], answer.status_code) == (
            reason,
            status,
            status,
        )
        assert line["cf_ray"] == (RAY if door == "tunnel" else "")
        assert line["principal"] == ""


async def test_a_policy_reload_and_a_broken_policy_are_on_record(house: TestHouse) -> None:
    def reloads() -> list[Line]:
        return lines_in(file_of(house), "operation = 'policy/reload'")

    for number, text in enumerate(("version = 1\n", "version = 7\n"), 1):
        house.write_policy(text)
        await call(house, "whoami")
        await until(lambda number=number: len(reloads()) == number)  # type: ignore[misc]
    assert [told(line, "principal", "decision", "status") for line in reloads()] == [
        ["operator", "allow", 200],
        ["operator", "refuse", 500],
    ]


async def test_a_tool_that_says_no_is_on_record_once_as_a_call(house: TestHouse) -> None:
    made = structured(await call(house, "create_note", title="Otter", text="swims"))
    stale = await call(house, "update_note", id=made["id"], version=7, title="Seal")
    assert told(record_now(house, stale), "decision", "status") == ["allow", 409]
    other = "0" if made["id"][-1] != "0" else "1"
    missing = await call(house, "fetch", id=made["id"][:-1] + other)
    assert (await record_of(house, missing))["status"] == 404


async def test_a_hundred_calls_at_once_have_a_record_each_in_one_chain(house: TestHouse) -> None:
    async def one(n: int) -> None:
        who = (None, ALICE, BOB)[n % 3]
        if n % 2:
            await call(house, "create_note", who=who, title=f"t {n}", text="")
        else:
            await call(house, "search", who=who, query="t")

    await asyncio.gather(*(one(n) for n in range(100)))
    await until(lambda: len(lines_in(file_of(house), "operation = 'tools/call'")) == 100)
    lines = lines_in(file_of(house))
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(one["hash"] == two["prev"] for one, two in pairwise(lines))
    ids = [line["request_id"] for line in lines if line["operation"] == "tools/call"]
    assert len(set(ids)) == 100


async def test_a_change_whose_caller_hangs_up_is_there_with_its_record_or_not_at_all(
    house: TestHouse,
) -> None:
    hung_up = []
    for n in range(20):
        task = asyncio.create_task(call(house, "create_note", title=f"hung up {n}", text="x" * 20_000))
        await asyncio.sleep(0.001 * n)
        task.cancel()
        hung_up.append(task)
        notes, records = notes_and_their_records(file_of(house))
        assert notes == records
    await asyncio.gather(*hung_up, return_exceptions=True)
    await call(house, "create_note", title="the last", text="")
    notes, records = notes_and_their_records(file_of(house))
    assert notes == records > 0
