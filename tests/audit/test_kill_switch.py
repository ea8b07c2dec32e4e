"""The kill switch: who and what is shut off is off at once, everywhere, and the way back in stays open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app.access.claims import Identity
from app.audit.events import Event
from app.doors.http import Message, Receive, Scope, Send
from app.doors.rates import Attempts
from app.doors.tunnel import TunnelDoor
from app.mcp_server import new_server
from app.policy.denies import BadTarget, Denies, denies, target
from app.principal import Principal
from app.simulator import Team
from tests.house import HOST, NIGHTLY, Clock, TestHouse, in_one_task, open_house

from .calls import ALICE, BOB, ERAS, ask, call, file_of, record_of, refused, structured
from .tables import BREAK, MEND, done_to, lines_in
from .waiting import until, until_true

ALICE_HERSELF = Principal(kind="person", id=ALICE, door="tunnel", email=ALICE)
ANYBODY = """version = 1
[[rule]]
name = "all"
any_person = true
scopes = ["mcp:tools:write"]
"""


async def deny(house: TestHouse, target: str) -> None:
    """As `brain deny` does it, beside the server."""
    await done_to(file_of(house), f"INSERT INTO denies VALUES ('{target}', 0, 'test')")  # noqa: S608


async def undeny(house: TestHouse) -> None:
    await done_to(file_of(house), "DELETE FROM denies")


async def status_becomes(house: TestHouse, status: int, who: str) -> httpx2.Response:
    """The first answer of this status. Raises TimeoutError after the promised second."""
    answers = []

    async def is_so() -> bool:
        answers.append(await call(house, "whoami", who=who))
        return answers[-1].status_code == status

    await until_true(is_so, 1.0)
    return answers[-1]


@pytest.mark.parametrize("who", [ALICE, NIGHTLY])
async def test_somebody_who_is_shut_off_gets_a_403_that_says_so_and_the_others_go_on(
    house: TestHouse, who: str
) -> None:
    assert (await call(house, "whoami", who=who)).status_code == 200
    await deny(house, who)
    answer = await status_becomes(house, 403, who)
    assert answer.json() == {
        "error": "denied",
        "error_description": "The operator of this server has shut off your access. Ask them.",
    }
    assert "WWW-Authenticate" not in answer.headers  # signing in again would not help
    for speaking in ERAS:
        assert (await ask(house, "tools/list", who=who, speaking=speaking)).status_code == 403
        assert (await call(house, "search", who=BOB, speaking=speaking, query="x")).status_code == 200
        assert (await call(house, "search", speaking=speaking, query="x")).status_code == 200
    line = await record_of(house, answer, "door")
    assert (line["principal"], line["kind"]) == (who, "person" if "@" in who else "service")
    assert (line["decision"], line["reason"], line["status"]) == ("refuse", "denied", 403)
    await undeny(house)
    await status_becomes(house, 200, who)


async def test_an_assertion_that_was_verified_before_and_a_new_login_are_both_shut_off(
    house: TestHouse,
) -> None:
    token = house.team.token(ALICE)
    assert (await house.tunnel_request(token=token)).status_code == 200
    await deny(house, ALICE)
    await status_becomes(house, 403, ALICE)
    assert (await house.tunnel_request(token=token)).status_code == 403
    assert (await house.tunnel_request(token=house.team.token(ALICE))).status_code == 403


async def test_a_person_is_the_same_in_upper_and_lower_case(house: TestHouse) -> None:
    await deny(house, target("Alice@Example.COM"))
    await status_becomes(house, 403, ALICE)


@pytest.mark.parametrize("speaking", ERAS)
async def test_a_tool_that_is_shut_off_is_gone_for_everybody_at_both_doors(
    house: TestHouse, speaking: str
) -> None:
    await deny(house, "tool:create_note")

    async def listed(who: str | None) -> set[str]:
        answer = await ask(house, "tools/list", who=who, speaking=speaking)
        return {tool["name"] for tool in answer.json()["result"]["tools"]}

    async def is_gone() -> bool:
        return "create_note" not in await listed(None)

    await until_true(is_gone, 1.0)
    for who in (None, ALICE):
        assert "append_note" in await listed(who)
        assert "create_note" not in await listed(who)
        answer = await call(house, "create_note", who=who, speaking=speaking, title="x", text="y")
        assert refused(answer)
        line = await record_of(house, answer)
        assert line["reason"] == "tool:create_note is shut off by the operator (brain deny)"
        assert line["decision"] == "deny"
        told = structured(await call(house, "whoami", who=who, speaking=speaking))
        assert "create_note" not in told["tools"]
    await undeny(house)

    async def is_back() -> bool:
        return "create_note" in await listed(ALICE)

    await until_true(is_back, 1.0)


async def test_a_closed_tunnel_door_is_closed_for_everybody_and_the_lan_stays_open(house: TestHouse) -> None:
    await deny(house, "door:tunnel")
    answer = await status_becomes(house, 503, ALICE)
    assert answer.json()["error"] == "door_closed"
    assert answer.headers["Retry-After"] == "60"
    assert (await house.tunnel_request()).status_code == 503  # nobody learns whether their token is good
    for speaking in ERAS:
        made = await call(house, "create_note", speaking=speaking, title="x", text="y")
        assert not refused(made)
    await undeny(house)
    await status_becomes(house, 200, ALICE)


@pytest.fixture
async def slow(tmp_path: Path, clock: Clock, team: Team) -> AsyncIterator[TestHouse]:
    """A house with a tool that never ends by itself."""
    mcp = new_server()

    @mcp.tool
    async def forever() -> str:
        await asyncio.Event().wait()
        return "never"

    async with in_one_task(open_house(tmp_path, clock, team, mcp=mcp, policy=ANYBODY)) as opened:
        yield opened


@pytest.mark.parametrize("speaking", ERAS)
async def test_a_call_that_is_under_way_ends_within_a_second_with_the_answer_that_says_why(
    slow: TestHouse, speaking: str
) -> None:
    running = [
        asyncio.create_task(call(slow, "forever", who=who, speaking=speaking)) for who in (ALICE, BOB, None)
    ]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in running)
    await deny(slow, ALICE)
    async with asyncio.timeout(1.0):
        answer = await running[0]
    assert (answer.status_code, answer.json()["error"]) == (403, "denied")
    assert not running[1].done()
    assert not running[2].done()
    line = await record_of(slow, answer)
    assert (line["name"], line["status"], line["principal"]) == ("forever", 499, ALICE)
    assert (await record_of(slow, answer, "door"))["reason"] == "denied"
    await deny(slow, "door:tunnel")
    async with asyncio.timeout(1.0):
        assert (await running[1]).status_code == 503
    assert not running[2].done()
    running[2].cancel()
    await asyncio.gather(running[2], return_exceptions=True)


async def test_a_stream_of_somebody_who_is_shut_off_ends_and_is_never_answered_twice(clock: Clock) -> None:
    sent: list[Message] = []
    events: list[Event] = []
    shut_off = Denies()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await asyncio.Event().wait()

    async def verify(assertion: bytes) -> Identity:
        return Identity(principal=ALICE_HERSELF, expires_at=clock() + 60, kid="k")

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    door = TunnelDoor(
        stream,
        base_url=f"https://{HOST}",
        verify=verify,
        denies=lambda: shut_off,
        attempts=Attempts(0, clock),
        new_id=lambda: "the-id",
        report=events.append,
        count=events.append,
    )
    head = [(b"host", HOST.encode()), (b"cf-access-jwt-assertion", b"x")]
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "headers": head,
        "server": None,
    }
    streaming = asyncio.create_task(door(scope, receive, send))
    await until(lambda: len(sent) == 2)
    door.cut(Denies(frozenset({BOB})))
    await asyncio.sleep(0.05)
    assert not streaming.done()
    shut_off = Denies(frozenset({ALICE}))
    door.cut(shut_off)
    async with asyncio.timeout(1.0):
        await streaming
    assert [message.get("body") for message in sent] == [None, b"one"]
    assert [(event.principal, event.reason, event.request_id) for event in events] == [
        (ALICE, "denied", "the-id")
    ]


async def test_what_is_shut_off_before_the_start_is_off_from_the_first_request_on(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with open_house(tmp_path, clock, team) as house:
        await deny(house, ALICE)
    async with open_house(tmp_path, clock, team) as house:
        assert (await call(house, "whoami", who=ALICE)).status_code == 403


async def test_a_kill_switch_that_cannot_be_read_stays_as_it_was_says_so_once_and_comes_back(
    house: TestHouse, caplog: pytest.LogCaptureFixture
) -> None:
    await deny(house, ALICE)
    await status_becomes(house, 403, ALICE)
    await done_to(file_of(house), "ALTER TABLE denies RENAME TO away")
    await until(lambda: any("KILL SWITCH CANNOT BE READ" in line for line in caplog.messages), 2)
    await asyncio.sleep(1)
    assert (await call(house, "whoami", who=ALICE)).status_code == 403
    await done_to(file_of(house), "ALTER TABLE away RENAME TO denies", "DELETE FROM denies")
    await status_becomes(house, 200, ALICE)
    assert [line for line in caplog.messages if "kill switch" in line.lower()] == [
        "THE KILL SWITCH CANNOT BE READ, it stays as it was: The database failed; nothing was changed. "
        "no such table: denies",
        "the kill switch can be read again",
    ]


async def test_the_kill_switch_works_while_the_audit_log_does_not(house: TestHouse) -> None:
    await done_to(file_of(house), BREAK)
    await deny(house, ALICE)
    await status_becomes(house, 403, ALICE)
    await done_to(file_of(house), MEND)
    await until(lambda: bool(lines_in(file_of(house), "reason = 'denied'")), 3)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" Alice@Example.com ", "alice@example.com"),
        (NIGHTLY, NIGHTLY),
        ("tool:create_note", "tool:create_note"),
        ("door:tunnel", "door:tunnel"),
        ("client:AbC", "client:AbC"),
    ],
)
def test_what_can_be_shut_off_has_one_written_form(text: str, kept: str) -> None:
    assert target(text) == kept


@pytest.mark.parametrize(
    "text",
    ["", " ", "lan", "LAN", "door:lan", "door:", "tool:", "a b", "a\nb", "create_note", "alice", "@", "~"],
)
def test_what_would_shut_off_nothing_or_the_way_back_in_is_refused(text: str) -> None:
    with pytest.raises(BadTarget):
        target(text)


def test_nothing_is_shut_off_by_nothing() -> None:
    assert denies([]) == Denies()
    assert not denies([])
    assert denies(["door:tunnel", ALICE, "tool:search"]) == Denies(
        frozenset({ALICE}), frozenset({"search"}), True
    )
