"""The exchange of a code: group H."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from app.oauth.models import CODE_SECONDS, fingerprint_of

from .desk import CALLBACK, ISSUER, RESOURCE, VERIFIER, Desk, is_refused


@pytest.fixture
async def client(desk: Desk) -> dict[str, Any]:
    return await desk.register()


async def test_H1_H22_H23_a_valid_exchange(desk: Desk, client: dict[str, Any]) -> None:
    reply = await desk.exchange(client, await desk.code(client), redirect_uri=CALLBACK, resource=RESOURCE)
    assert reply.status_code == 200
    assert (reply.headers["cache-control"], reply.headers["content-type"]) == ("no-store", "application/json")
    body = reply.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert (body["token_type"], body["scope"], body["expires_in"]) == ("Bearer", "mcp:tools:read", 900)
    assert await desk.active(body["access_token"])


async def test_H2_H3_Q1_grant_types_that_there_are_not(desk: Desk, client: dict[str, Any]) -> None:
    assert is_refused(await desk.token(client), "invalid_request")
    for name in ("foo", "password", "implicit", "urn:ietf:params:oauth:grant-type:token-exchange"):
        assert is_refused(await desk.token(client, grant_type=name), "unsupported_grant_type")


async def test_H4_J16_X2_grant_types_that_the_client_has_not(desk: Desk) -> None:
    client = await desk.register(grant_types=["authorization_code"])
    for name in ("refresh_token", "client_credentials"):
        reply = await desk.token(client, grant_type=name, refresh_token="x")
        assert is_refused(reply, "unauthorized_client")
    assert "refresh_token" not in await desk.tokens(client)  # H22


@pytest.mark.parametrize("form", [{"code": None}, {"code_verifier": None}])
async def test_H5_H10_code_and_verifier_are_needed(
    desk: Desk, client: dict[str, Any], form: dict[str, Any]
) -> None:
    code = await desk.code(client)
    wanted = {"code": code, "code_verifier": VERIFIER, **form}
    assert is_refused(await desk.token(client, grant_type="authorization_code", **wanted), "invalid_request")


async def test_H6_an_unknown_or_expired_code(desk: Desk, client: dict[str, Any]) -> None:
    code = await desk.code(client)
    for wrong in ("unknown", "ü", code + "x", "x" * 10_000):
        assert is_refused(await desk.exchange(client, wrong), "invalid_grant")
    desk.clock.advance(CODE_SECONDS)
    assert is_refused(await desk.exchange(client, code), "invalid_grant")


async def test_H7_Q3_anothers_code_stays_good_for_its_owner(desk: Desk, client: dict[str, Any]) -> None:
    other, code = await desk.register(), await desk.code(client)
    assert is_refused(await desk.exchange(other, code), "invalid_grant")
    assert (await desk.exchange(client, code)).status_code == 200


async def test_H8_H9_the_redirect_uri_is_the_same_or_left_out(desk: Desk, client: dict[str, Any]) -> None:
    code = await desk.code(client)
    for wrong in ("https://client.example/other", CALLBACK + "/", CALLBACK.upper()):
        assert is_refused(await desk.exchange(client, code, redirect_uri=wrong), "invalid_grant")
    assert (await desk.exchange(client, code)).status_code == 200


async def test_H11_H13_a_wrong_verifier_may_be_put_right(desk: Desk, client: dict[str, Any]) -> None:
    code = await desk.code(client)
    assert is_refused(await desk.exchange(client, code, code_verifier="w" * 43), "invalid_grant")
    assert (await desk.exchange(client, code)).status_code == 200


async def test_H13_but_not_for_ever(desk: Desk, client: dict[str, Any]) -> None:
    code = await desk.code(client)
    for _ in range(3):
        await desk.exchange(client, code, code_verifier="w" * 43)
    assert is_refused(await desk.exchange(client, code), "invalid_grant")


@pytest.mark.parametrize("verifier", ["v" * 42, "v" * 129, "v" * 42 + "+", "v" * 42 + "ü"])
async def test_H12_a_verifier_that_is_none(desk: Desk, client: dict[str, Any], verifier: str) -> None:
    reply = await desk.exchange(client, await desk.code(client), code_verifier=verifier)
    assert is_refused(reply, "invalid_request")


async def test_H14_a_replayed_code_ends_all_that_it_gave(desk: Desk, client: dict[str, Any]) -> None:
    code = await desk.code(client)
    tokens = (await desk.exchange(client, code)).json()
    desk.clock.advance(CODE_SECONDS + 1)  # later than it was good for
    assert is_refused(await desk.exchange(client, code), "invalid_grant")
    assert not await desk.active(tokens["access_token"])
    assert is_refused(await desk.refresh(client, tokens["refresh_token"]), "invalid_grant")
    assert "oauth/token/code-reuse" in [event.operation for event in desk.events]


async def test_H15_a_replay_that_proves_nothing_ends_nothing(desk: Desk, client: dict[str, Any]) -> None:
    code = await desk.code(client)
    tokens = (await desk.exchange(client, code)).json()
    assert is_refused(await desk.exchange(client, code, code_verifier="w" * 43), "invalid_grant")
    assert is_refused(await desk.exchange(client, code, redirect_uri="https://x.example/"), "invalid_grant")
    assert is_refused(await desk.exchange(await desk.register(), code), "invalid_grant")
    assert await desk.active(tokens["access_token"])


async def test_H16_of_twenty_at_once_one_wins(desk: Desk, client: dict[str, Any]) -> None:
    code = await desk.code(client)
    replies = await asyncio.gather(*(desk.exchange(client, code) for _ in range(20)))
    assert [reply.status_code for reply in replies].count(200) == 1
    assert all(reply.status_code in (200, 400, 429) for reply in replies)


async def test_H17_H18_the_resource_is_the_granted_one(desk: Desk, client: dict[str, Any]) -> None:
    code = await desk.code(client)
    reply = await desk.exchange(client, code, resource="https://other.example/mcp")
    assert is_refused(reply, "invalid_target")
    assert (await desk.exchange(client, code, resource=[RESOURCE, ISSUER])).status_code == 200


async def test_H19_nothing_is_said_twice(desk: Desk, client: dict[str, Any]) -> None:
    code = await desk.code(client)
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    for name in ("code", "client_id", "foo"):
        reply = await desk.token(client, **{**form, name: ["a", "b"]})
        assert is_refused(reply, "invalid_request")


async def test_H20_what_is_unknown_or_wider_changes_nothing(desk: Desk, client: dict[str, Any]) -> None:
    reply = await desk.exchange(client, await desk.code(client), scope="mcp:tools:write", foo="1")
    assert reply.json()["scope"] == "mcp:tools:read"


async def test_H25_who_lost_everything_before_the_exchange_gets_nothing(
    desk: Desk, client: dict[str, Any]
) -> None:
    code = await desk.code(client)
    desk.rules = replace(desk.rules, rules=())
    assert is_refused(await desk.exchange(client, code), "invalid_grant")


async def test_H26_I_failures_of_a_client_are_limited_and_others_are_not(
    desk: Desk, client: dict[str, Any]
) -> None:
    replies = [await desk.exchange(client, "guess") for _ in range(25)]
    assert replies[-1].status_code == 429
    assert "retry-after" in replies[-1].headers
    other = await desk.register()
    assert (await desk.exchange(other, await desk.code(other))).status_code == 200
    desk.clock.advance(60)
    assert is_refused(await desk.exchange(client, "guess"), "invalid_grant")


async def test_Q9_no_secret_is_in_the_database_or_on_record(desk: Desk) -> None:
    client = await desk.register(token_endpoint_auth_method="client_secret_basic")
    tokens = await desk.tokens(client)
    await desk.refresh(client, tokens["refresh_token"])
    path = desk.authority.store._database.path  # type: ignore[attr-defined]
    stored = b"".join(file.read_bytes() for file in path.parent.glob("brain.db*"))
    for secret in (client["client_secret"], tokens["refresh_token"], tokens["access_token"]):
        assert secret.encode() not in stored
        assert secret not in repr(desk.events)
    assert fingerprint_of(tokens["refresh_token"]).encode() in stored
