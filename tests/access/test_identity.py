"""All groups of a person from get-identity: which, for how long, and for whom."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.access.identity import KEPT, MAX_BYTES, MAX_GROUPS, REFRESH_AFTER, Unusable, read
from tests.house import NIGHTLY

from .desk import ALICE, BOB, Desk, settled

CLUBS = tuple(f"group-{number:03}" for number in range(200))


async def test_all_groups_are_found_that_the_assertion_does_not_hold(desk: Desk) -> None:
    assert await desk.groups(desk.new(), desk.team.token(ALICE)) == {"eng", "admins"}


async def test_groups_that_were_trimmed_from_the_assertion_are_completed(desk: Desk) -> None:
    desk.put(ALICE, *CLUBS)
    token = desk.team.token(ALICE, groups=CLUBS)
    trimmed = (await desk.verifier(token.encode())).principal
    assert trimmed.groups < set(CLUBS)
    assert await desk.groups(desk.new(), token) == set(CLUBS)


async def test_nothing_else_of_the_identity_changes(desk: Desk) -> None:
    token = desk.team.token(ALICE)
    before, after = await desk.verifier(token.encode()), await desk.ask(desk.new(), token)
    assert (after.expires_at, after.kid, after.nonce) == (before.expires_at, before.kid, before.nonce)
    assert (after.principal.id, after.principal.subject) == (before.principal.id, before.principal.subject)


async def test_two_assertions_of_one_session_stay_two(desk: Desk) -> None:
    whole, now = desk.new(), int(desk.clock())
    tokens = [desk.team.token(ALICE, identity_nonce="one", exp=now + seconds) for seconds in (60, 3600)]
    found = [await desk.ask(whole, token) for token in tokens]
    assert [identity.expires_at - now for identity in found] == [60, 3600]
    assert desk.requests == 1


@pytest.mark.parametrize("look_every", [1, 7, 29, 31, 61, 3600])
async def test_a_removed_group_is_gone_within_a_minute_however_often_one_comes(
    desk: Desk, look_every: int
) -> None:
    whole, token = desk.new(), desk.team.token(ALICE, groups=["admins"])
    assert await desk.groups(whole, token) == {"eng", "admins"}
    desk.put(ALICE, "eng")
    passed = 0
    while passed < KEPT:
        desk.clock.advance(look_every)
        passed += look_every
        found = await desk.groups(whole, token)
        await settled(whole)
    assert found == {"eng"}


async def test_one_person_costs_two_look_ups_a_minute_at_most_and_never_waits_for_the_second(
    desk: Desk,
) -> None:
    whole, token = desk.new(), desk.team.token(ALICE)
    await desk.groups(whole, token)
    for _ in range(int(REFRESH_AFTER) - 1):
        desk.clock.advance(1)
        await desk.groups(whole, token)
    assert desk.requests == 1
    desk.team.identities.hold()
    desk.clock.advance(1)
    assert await desk.groups(whole, token) == {"eng", "admins"}  # though the endpoint does not answer
    desk.team.identities.release()
    await settled(whole)
    assert desk.requests == 2


async def test_a_hundred_requests_at_once_cost_one_look_up(desk: Desk) -> None:
    whole, token = desk.new(), desk.team.token(ALICE)
    found = await asyncio.gather(*(desk.groups(whole, token) for _ in range(100)))
    assert set(found) == {frozenset({"eng", "admins"})}
    assert desk.requests == 1


async def test_a_request_that_gives_up_does_not_take_the_look_up_of_the_others_with_it(desk: Desk) -> None:
    whole, token = desk.new(), desk.team.token(ALICE)
    desk.team.identities.hold()
    first, second = (asyncio.create_task(desk.groups(whole, token)) for _ in range(2))
    await asyncio.sleep(0)  # both are on their way now
    first.cancel()
    desk.team.identities.release()
    assert await second == {"eng", "admins"}
    assert desk.requests == 1


async def test_a_service_token_is_never_looked_up(desk: Desk) -> None:
    for token in (
        desk.team.service_token(NIGHTLY),
        desk.team.service_token(NIGHTLY, identity_nonce="as if it were a person"),
    ):
        assert (await desk.ask(desk.new(), token)).principal.id == NIGHTLY
    assert desk.requests == 0


async def test_nobody_is_looked_up_while_no_rule_names_a_group(desk: Desk) -> None:
    whole, token = desk.new(), desk.team.token(ALICE)
    desk.wanted = False
    assert await desk.groups(whole, token) is None
    assert desk.requests == 0
    desk.wanted = True
    assert await desk.groups(whole, token) == {"eng", "admins"}


async def test_an_assertion_without_a_nonce_is_not_looked_up(desk: Desk) -> None:
    assert await desk.groups(desk.new(), desk.team.token(ALICE, without=["identity_nonce"])) is None
    assert desk.requests == 0


async def test_an_answer_is_for_the_one_person_it_was_asked_for(desk: Desk) -> None:
    whole = desk.new()
    assert await desk.groups(whole, desk.team.token(ALICE, identity_nonce="same"))
    assert await desk.groups(whole, desk.team.token(BOB, identity_nonce="same")) == frozenset()


# What a wrong or broken answer does: nothing.

UNUSABLE: dict[str, Any] = {
    "no JSON": b"<html>Free wifi</html>",
    "nothing": b"",
    "a list": b"[]",
    "nested for ever": b"[" * 100_000,
    "no e-mail": {"groups": ["admins"]},
    "somebody else's e-mail": {"email": BOB, "groups": ["admins"]},
    "an e-mail that is close": {"email": ALICE + ".evil.example", "groups": ["admins"]},
    "a look-alike": {"email": "\u212aalice@example.com", "groups": ["admins"]},
    "an e-mail in a list": {"email": [ALICE], "groups": ["admins"]},
    "too much": {"email": ALICE, "groups": ["admins"], "padding": "x" * MAX_BYTES},
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_an_answer_that_is_not_usable_leaves_the_groups_of_the_assertion(desk: Desk, name: str) -> None:
    body = UNUSABLE[name]
    desk.team.identities.answers(body if isinstance(body, bytes) else json.dumps(body).encode())
    who = (await desk.ask(desk.new(), desk.team.token(ALICE, groups=["eng"]))).principal
    assert (sorted(who.groups), who.groups_complete) == (["eng"], False)


EVERY_NAME = {"id": "7", "name": "eng", "email": "eng@example.com"}
# A group may be called like another one's address by whoever may make groups.
POSING = {"id": "9", "name": "admins@example.com", "email": "mine@example.com"}
JUNK: list[Any] = [
    None,
    7,
    "",
    [],
    {},
    {"name": None},
    {"name": 3},
    {"name": ""},
    "x" * 999,
    "\ud800",
    "a\nb",
]
GROUPS: list[tuple[dict[str, Any], set[str], bool]] = [
    ({"groups": ["eng", "ops"]}, {"eng", "ops"}, True),
    ({"groups": [{"name": "eng"}, {"id": "7"}, {"email": "a@b.example"}]}, {"eng", "7", "a@b.example"}, True),
    ({"groups": [EVERY_NAME]}, {"7", "eng", "eng@example.com"}, True),
    ({"groups": [POSING]}, {"9", "mine@example.com"}, True),
    ({"groups": [*JUNK, "eng"]}, {"eng"}, True),
    ({"groups": []}, set(), True),
    ({"oidc_fields": {"groups": ["eng"]}}, {"eng"}, True),
    ({"saml_attributes": {"groups": ["eng"]}, "groups": ["ops"]}, {"eng", "ops"}, True),
    ({"oidc_fields": ["groups"], "saml_attributes": None, "groups": "eng"}, set(), False),
    ({}, set(), False),
    ({"groups": [f"g{n}" for n in range(MAX_GROUPS + 1)]}, {f"g{n}" for n in range(MAX_GROUPS)}, False),
]


@pytest.mark.parametrize(("answer", "names", "complete"), GROUPS)
def test_groups_come_in_many_shapes(answer: dict[str, Any], names: set[str], complete: bool) -> None:
    found = read(json.dumps({"email": "Alice@Example.com", **answer}).encode(), email=ALICE)
    assert (sorted(found.names), found.complete) == (sorted(names), complete)


def test_a_lone_surrogate_in_an_answer_is_no_crash() -> None:
    with pytest.raises(Unusable):
        read(b'{"email": "\\ud800@example.com", "groups": ["admins"]}', email=ALICE)


async def test_an_answer_that_tells_no_groups_takes_those_of_the_assertion_away(desk: Desk) -> None:
    desk.team.identities.answers(json.dumps({"email": ALICE}).encode())
    who = (await desk.ask(desk.new(), desk.team.token(ALICE, groups=["admins"]))).principal
    assert (who.groups, who.groups_complete) == (frozenset(), False)


async def test_no_redirect_is_followed(desk: Desk) -> None:
    desk.team.identities.redirect(desk.access.certs_url)
    certs_before = desk.team.certs.requests
    assert await desk.groups(desk.new(), desk.team.token(ALICE)) is None
    assert desk.team.certs.requests == certs_before
