"""Revocation and introspection: groups K and L."""

from __future__ import annotations

from typing import Any

import pytest

from .desk import Desk, is_refused

HINTS = [None, "access_token", "refresh_token", "foo"]


@pytest.fixture
async def client(desk: Desk) -> dict[str, Any]:
    return await desk.register()


@pytest.fixture
async def tokens(desk: Desk, client: dict[str, Any]) -> dict[str, Any]:
    return await desk.tokens(client)


@pytest.mark.parametrize("hint", HINTS)
async def test_K1_K5_K8_K9_a_refresh_token_takes_all_with_it(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any], hint: str | None
) -> None:
    reply = await desk.call("/revoke", client, token=tokens["refresh_token"], token_type_hint=hint)
    assert (reply.status_code, reply.content) == (200, b"")
    assert is_refused(await desk.refresh(client, tokens["refresh_token"]), "invalid_grant")
    assert not await desk.active(tokens["access_token"])
    assert desk.events[-2].operation == "oauth/revoke"


@pytest.mark.parametrize("hint", HINTS)
async def test_K2_K8_an_access_token_takes_only_itself(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any], hint: str | None
) -> None:
    reply = await desk.call("/revoke", client, token=tokens["access_token"], token_type_hint=hint)
    assert reply.status_code == 200
    assert not await desk.active(tokens["access_token"])
    renewed = (await desk.refresh(client, tokens["refresh_token"])).json()
    assert await desk.active(renewed["access_token"])


async def test_K3_what_is_not_there_is_revoked(desk: Desk, client: dict[str, Any], tokens: Any) -> None:
    for token in ("unknown", tokens["refresh_token"], tokens["refresh_token"]):
        assert (await desk.call("/revoke", client, token=token)).status_code == 200


async def test_K4_K6_what_is_missing(desk: Desk, client: dict[str, Any]) -> None:
    assert is_refused(await desk.call("/revoke", client), "invalid_request")
    confidential = await desk.register(token_endpoint_auth_method="client_secret_basic")
    named = {"client_id": confidential["client_id"]}
    assert is_refused(await desk.call("/revoke", named, token="x"), "invalid_client", 401)


async def test_K7_anothers_tokens_stay(desk: Desk, client: dict[str, Any], tokens: dict[str, Any]) -> None:
    other = await desk.register()
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert (await desk.call("/revoke", other, token=token)).status_code == 200
    assert await desk.active(tokens["access_token"])
    assert (await desk.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_L1_L2_introspection_is_for_clients_that_prove_who_they_are(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    machine = await desk.machine("wrong")
    for caller in (client, {"client_id": "unknown"}, {**machine, "client_secret": "wrong"}):
        reply = await desk.call("/introspect", caller, token=tokens["access_token"])
        assert is_refused(reply, "invalid_client", 401)
        assert "www-authenticate" in reply.headers


async def test_L3_L10_an_active_token(desk: Desk, client: dict[str, Any], tokens: dict[str, Any]) -> None:
    observer = await desk.machine("observer")
    reply = await desk.call("/introspect", observer, token=tokens["access_token"])
    assert reply.headers["cache-control"] == "no-store"
    body = reply.json()
    assert {body["active"], body["token_type"]} == {True, "Bearer"}
    assert set(body) == {
        *("active", "scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti", "token_type")
    }
    assert body["client_id"] == client["client_id"]


async def test_L4_L7_everything_else_is_no_more_than_inactive(desk: Desk, tokens: dict[str, Any]) -> None:
    observer = await desk.machine("observer")
    for token in ("unknown", "a.b.c", "ü", tokens["refresh_token"]):
        reply = await desk.call("/introspect", observer, token=token)
        assert (reply.status_code, reply.json()) == (200, {"active": False})
    desk.clock.advance(901)
    reply = await desk.call("/introspect", observer, token=tokens["access_token"])
    assert reply.json() == {"active": False}


async def test_L5_a_registered_client_learns_about_its_own_tokens_alone(desk: Desk, tokens: Any) -> None:
    curious = await desk.register(token_endpoint_auth_method="client_secret_basic")
    own = await desk.tokens(curious)
    mine = await desk.call("/introspect", curious, token=own["access_token"])
    others = await desk.call("/introspect", curious, token=tokens["access_token"])
    assert mine.json()["active"]
    assert others.json() == {"active": False}


async def test_L6_L8_the_token_is_needed_the_hint_is_not(desk: Desk, tokens: dict[str, Any]) -> None:
    observer = await desk.machine("observer")
    assert is_refused(await desk.call("/introspect", observer), "invalid_request")
    form = {"token": tokens["access_token"], "token_type_hint": "refresh_token"}
    assert (await desk.call("/introspect", observer, **form)).json()["active"]
