"""When all groups cannot be asked for: nothing opens, nobody is stopped, nobody waits twice."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.access.claims import issuer_of
from app.access.identity import KEPT, PROBE_EVERY, RETRY_AFTER, identity_url
from app.simulator.server import LoopbackServer, address, listen
from tests.house import TEAM

from .desk import ALICE, BOB, Desk, settled


@pytest.mark.parametrize("outage", ["refused", "503", "429"])
async def test_an_outage_opens_nothing_and_stops_nobody(desk: Desk, outage: str) -> None:
    whole = desk.new()
    if outage == "refused":
        await desk.access.refuse_access()
    else:
        desk.team.identities.unavailable(int(outage))
    who = (await desk.ask(whole, desk.team.token(ALICE, groups=["eng"]))).principal
    assert (who.id, sorted(who.groups), who.groups_complete) == (ALICE, ["eng"], False)


async def test_what_was_known_counts_until_its_minute_is_over_and_no_longer(desk: Desk) -> None:
    whole, token = desk.new(), desk.team.token(ALICE)
    await desk.groups(whole, token)
    desk.team.identities.unavailable()
    desk.clock.advance(KEPT - 1)
    assert await desk.groups(whole, token) == {"eng", "admins"}
    await settled(whole)
    assert await desk.groups(whole, token) == {"eng", "admins"}
    desk.clock.advance(1)
    assert await desk.groups(whole, token) is None


async def test_a_silent_endpoint_costs_one_timeout_for_all_people_together(desk: Desk) -> None:
    whole = desk.new(timeout=0.3)
    desk.team.identities.hold()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(30):
        token = desk.team.token(f"p{number}@example.com")
        for _ in range(3):
            assert await desk.groups(whole, token) is None
            desk.clock.advance(1)
    assert 0.3 <= loop.time() - began < 0.3 * 3  # one of 0.3, and ninety that did not wait
    assert desk.requests <= 2 + 90 / PROBE_EVERY
    await whole.close()


async def test_while_it_fails_the_endpoint_is_asked_once_in_five_seconds_by_all_together(desk: Desk) -> None:
    whole = desk.new()
    desk.team.identities.unavailable()
    for round_number in (1, 2, 3):
        for number in range(20):
            assert await desk.groups(whole, desk.team.token(f"p{number}@example.com")) is None
        await settled(whole)
        assert desk.requests == round_number
        desk.clock.advance(PROBE_EVERY)


async def test_one_person_whose_look_up_never_ends_is_no_outage_for_those_who_are_answered(
    desk: Desk,
) -> None:
    slow = desk.team.token(BOB)

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        if slow in Request(scope).headers["cookie"]:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await JSONResponse({"email": ALICE, "groups": ["eng"]})(scope, receive, send)

    bound = listen("127.0.0.1", 0)
    server = await LoopbackServer.start(endpoint, bound)
    try:
        whole = desk.new(url=f"http://{address(bound)}/", timeout=0.3)
        never = asyncio.create_task(desk.groups(whole, slow))
        await asyncio.sleep(0)  # it is on its way
        desk.clock.advance(1)
        assert await desk.groups(whole, desk.team.token(ALICE)) == {"eng"}
        assert await never is None
        assert await desk.groups(whole, desk.team.token(ALICE)) == {"eng"}  # one more session, and it waited
    finally:
        await server.stop()


async def test_people_who_come_at_once_wait_side_by_side_for_one_timeout(desk: Desk) -> None:
    whole = desk.new(timeout=0.2)
    desk.team.identities.hold()
    tokens = [desk.team.token(f"p{number}@example.com") for number in range(30)]
    for token in tokens:
        await desk.verifier(token.encode())
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert set(await asyncio.gather(*(desk.groups(whole, token) for token in tokens))) == {None}
    assert loop.time() - began < 0.2 * 4


async def test_after_an_outage_all_groups_are_back_within_seconds(desk: Desk) -> None:
    whole, token = desk.new(), desk.team.token(ALICE)
    desk.team.identities.unavailable()
    assert await desk.groups(whole, token) is None
    desk.team.identities.normal()
    for _ in range(int(RETRY_AFTER)):
        desk.clock.advance(1)
        found = await desk.groups(whole, token)
        await settled(whole)
    assert found is None  # that one started the look-up, and did not wait for it
    assert await desk.groups(whole, token) == {"eng", "admins"}


async def test_one_person_whom_access_does_not_know_any_more_is_no_outage_for_the_others(desk: Desk) -> None:
    whole, gone = desk.new(), desk.team.token(BOB)
    desk.team.revoke(BOB)
    for _ in range(3):
        assert await desk.groups(whole, gone) is None
    assert desk.requests == 1  # asked again after ten seconds, not before
    assert await desk.groups(whole, desk.team.token(ALICE)) == {"eng", "admins"}
    desk.clock.advance(RETRY_AFTER)
    assert await desk.groups(whole, gone) is None
    assert desk.requests == 3


async def test_an_ended_session_has_no_groups_after_a_minute(desk: Desk) -> None:
    whole, token = desk.new(), desk.team.token(ALICE)
    await desk.groups(whole, token)
    desk.team.revoke(ALICE)
    desk.clock.advance(KEPT)
    assert await desk.groups(whole, token) is None


async def test_a_clock_that_is_set_back_makes_no_answer_last_longer(desk: Desk) -> None:
    whole, token = desk.new(), desk.team.token(ALICE, nbf=0)
    await desk.groups(whole, token)
    desk.put(ALICE, "eng")
    desk.clock.advance(-10)
    assert await desk.groups(whole, token) == {"eng"}


async def test_the_memory_is_bounded_and_the_least_recent_person_goes_first(desk: Desk) -> None:
    whole = desk.new(size=2)
    alice, bob, carol = (desk.team.token(f"{name}@example.com") for name in ("alice", "bob", "carol"))
    desk.put("carol@example.com", "eng")
    for token in (alice, bob, alice, carol, alice):
        await desk.groups(whole, token)
    assert desk.requests == 3
    await desk.groups(whole, bob)
    assert desk.requests == 4


# The assertion is a credential.


@pytest.mark.parametrize("mode", ["well", "refused", "503", "redirect", "garbage", "another", "slow"])
async def test_the_assertion_never_reaches_a_log(
    desk: Desk, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    token, endpoint = desk.team.token(ALICE), desk.team.identities
    whole = desk.new(timeout=0.05 if mode == "slow" else 5.0)
    with caplog.at_level(logging.DEBUG):
        match mode:
            case "refused":
                await desk.access.refuse_access()
            case "503":
                endpoint.unavailable()
            case "redirect":
                endpoint.redirect("https://elsewhere.example/")
            case "garbage":
                endpoint.answers(token.encode())
            case "another":
                endpoint.answers(json.dumps({"email": token, "groups": [token]}).encode())
            case "slow":
                endpoint.hold()
        await desk.groups(whole, token)
    assert all(segment not in caplog.text for segment in token.split(".")[1:])


async def test_a_cookie_that_an_answer_sets_goes_to_nobody_else(desk: Desk) -> None:
    seen: list[str] = []

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        seen.append(Request(scope).headers["cookie"])
        answer = JSONResponse({"email": ALICE, "groups": []})
        answer.set_cookie("CF_Authorization", "of-alice")
        await answer(scope, receive, send)

    bound = listen("127.0.0.1", 0)
    server = await LoopbackServer.start(endpoint, bound)
    try:
        whole = desk.new(url=f"http://{address(bound)}/")
        tokens = [desk.team.token(ALICE), desk.team.token(BOB)]
        for token in tokens:
            await desk.groups(whole, token)
    finally:
        await server.stop()
    assert seen == [f"CF_Authorization={token}" for token in tokens]


@pytest.mark.parametrize(
    ("certs", "url"),
    [
        (f"{issuer_of(TEAM)}/cdn-cgi/access/certs", f"{issuer_of(TEAM)}/cdn-cgi/access/get-identity"),
        ("http://127.0.0.1:9/c?x=1#y", "http://127.0.0.1:9/cdn-cgi/access/get-identity"),
    ],
)
def test_it_is_asked_where_the_certs_are(certs: str, url: str) -> None:
    assert identity_url(certs) == url
