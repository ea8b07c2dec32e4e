"""Refreshing: group J."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.oauth.models import GRANT_SECONDS, REFRESH_IDLE_SECONDS

from .desk import Desk, is_refused

WRITE = "mcp:tools:read mcp:tools:write"


@pytest.fixture
async def client(desk: Desk) -> dict[str, Any]:
    return await desk.register()


@pytest.fixture
async def tokens(desk: Desk, client: dict[str, Any]) -> dict[str, Any]:
    return await desk.tokens(client, scope="mcp:tools:write")


async def renewed(desk: Desk, client: dict[str, Any], token: str, **form: Any) -> dict[str, Any]:
    reply = await desk.refresh(client, token, **form)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def test_J1_J7_J9_both_tokens_are_new_and_the_scope_is_the_grants(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    new = await renewed(desk, client, tokens["refresh_token"])
    assert new["scope"] == WRITE
    assert new["refresh_token"] != tokens["refresh_token"]
    assert new["access_token"] != tokens["access_token"]
    assert await desk.active(new["access_token"])


async def test_J2_J3_missing_and_unknown(desk: Desk, client: dict[str, Any]) -> None:
    assert is_refused(await desk.token(client, grant_type="refresh_token"), "invalid_request")
    assert is_refused(await desk.refresh(client, "unknown"), "invalid_grant")


async def test_J4_anothers_token_stays_good_for_its_owner(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    assert is_refused(await desk.refresh(await desk.register(), tokens["refresh_token"]), "invalid_grant")
    await renewed(desk, client, tokens["refresh_token"])


async def test_J5_fewer_scopes_for_once(desk: Desk, client: dict[str, Any], tokens: dict[str, Any]) -> None:
    less = await renewed(desk, client, tokens["refresh_token"], scope="mcp:tools:read")
    assert less["scope"] == "mcp:tools:read"
    assert (await renewed(desk, client, less["refresh_token"]))["scope"] == WRITE


async def test_J6_more_scopes_never_but_habits_do_no_harm(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    for wrong in ("notes:delete", "mcp:tools:read notes:delete", "unknown", 'a"b'):
        reply = await desk.refresh(client, tokens["refresh_token"], scope=wrong)
        assert is_refused(reply, "invalid_scope")
    scope = "openid offline_access unknown mcp:tools:write"
    assert (await renewed(desk, client, tokens["refresh_token"], scope=scope))["scope"] == WRITE


async def test_J8_another_resource(desk: Desk, client: dict[str, Any], tokens: dict[str, Any]) -> None:
    reply = await desk.refresh(client, tokens["refresh_token"], resource="https://other.example/mcp")
    assert is_refused(reply, "invalid_target")
    await renewed(desk, client, tokens["refresh_token"])


async def test_J10_reuse_after_the_grace_ends_the_whole_grant(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    new = await renewed(desk, client, tokens["refresh_token"])
    desk.clock.advance(61)
    assert is_refused(await desk.refresh(client, tokens["refresh_token"]), "invalid_grant")
    assert is_refused(await desk.refresh(client, new["refresh_token"]), "invalid_grant")
    assert not await desk.active(new["access_token"])
    assert not await desk.active(tokens["access_token"])
    assert "oauth/token/refresh-token-reuse" in [event.operation for event in desk.events]


async def test_J10_reuse_after_its_successor_was_used_does_too(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    new = await renewed(desk, client, tokens["refresh_token"])
    newest = await renewed(desk, client, new["refresh_token"])
    assert is_refused(await desk.refresh(client, tokens["refresh_token"]), "invalid_grant")
    assert is_refused(await desk.refresh(client, newest["refresh_token"]), "invalid_grant")


async def test_J11_J13_who_never_saw_the_answer_gets_the_same_successor(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    lost = await renewed(desk, client, tokens["refresh_token"])
    desk.clock.advance(59)
    again = await renewed(desk, client, tokens["refresh_token"])
    assert again["refresh_token"] == lost["refresh_token"]
    await renewed(desk, client, again["refresh_token"])


async def test_J12_twenty_at_once_stay_one_chain(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    replies = await asyncio.gather(*(desk.refresh(client, tokens["refresh_token"]) for _ in range(20)))
    assert {reply.status_code for reply in replies} == {200}
    (successor,) = {reply.json()["refresh_token"] for reply in replies}
    await renewed(desk, client, successor)


async def test_J14_idle_and_absolute_ends(desk: Desk, client: dict[str, Any], tokens: dict[str, Any]) -> None:
    idle = await desk.tokens(client, prompt="consent")
    token = tokens["refresh_token"]
    for _ in range(GRANT_SECONDS // REFRESH_IDLE_SECONDS + 1):
        desk.clock.advance(REFRESH_IDLE_SECONDS - 1)
        reply = await desk.refresh(client, token)
        token = reply.json().get("refresh_token", token)
    assert is_refused(reply, "invalid_grant")  # the grant is at its end, however busy
    assert is_refused(await desk.refresh(client, idle["refresh_token"]), "invalid_grant")


async def test_J15_a_confidential_client_proves_itself_here_too(desk: Desk) -> None:
    client = await desk.register(token_endpoint_auth_method="client_secret_basic")
    tokens = await desk.tokens(client)
    public = {"client_id": client["client_id"]}
    assert is_refused(await desk.refresh(public, tokens["refresh_token"]), "invalid_client", 401)
    await renewed(desk, client, tokens["refresh_token"])


async def test_J18_refresh_tokens_are_long(tokens: dict[str, Any]) -> None:
    assert len(tokens["refresh_token"]) >= 43


async def test_J19_a_client_that_was_deleted_has_to_register_again(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    await desk.store.delete_client(client["client_id"], desk.clock())
    assert is_refused(await desk.refresh(client, tokens["refresh_token"]), "invalid_client", 401)
    assert not await desk.active(tokens["access_token"])


async def test_J20_a_database_that_fails_costs_no_session(
    desk: Desk, client: dict[str, Any], tokens: dict[str, Any]
) -> None:
    database = desk.authority.store._database  # type: ignore[attr-defined]
    async with database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE oauth_refresh_tokens RENAME TO away")
    reply = await desk.refresh(client, tokens["refresh_token"])
    assert reply.status_code == 503
    assert reply.json()["error"] != "invalid_grant"
    async with database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE away RENAME TO oauth_refresh_tokens")
    await renewed(desk, client, tokens["refresh_token"])
