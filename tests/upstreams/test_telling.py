"""`tell_caller`: who calls, signed by us, for this upstream, for a minute; nobody else is told anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest

from app.simulator import Team
from app.upstreams.telling import TYPE
from tests.gate.wire import text_of
from tests.house import PUBLIC, Clock

from .conftest import ALICE, BOB, RAW, Upstreamed, upstreamed

POLICY = """
version = 1
[scopes.a]
tools = ["*"]
[lan]
scopes = ["a"]
[[rule]]
any_person = true
scopes = ["a"]
"""


def three(folder: Path, web: Any) -> str:
    url = f'url = "http://127.0.0.1:{web.port}/mcp"'
    return f"""
version = 1
[upstream.told]
{url}
tell_caller = true
[upstream.untold]
{url}
[upstream.piped]
command = ["{sys.executable}", "-S", "{RAW}", "{folder}"]
tell_caller = true
"""


async def header(house: Upstreamed, tool: str, who: str) -> str | None:
    seen = json.loads(text_of(await house.call(tool, who)))
    return {name.lower(): value for name, value in seen["headers"]}.get("x-brain-principal")


@pytest.mark.parametrize("oauth", [True, False])
async def test_it_is_told_who_calls_and_can_check_it(
    tmp_path: Path, clock: Clock, team: Team, oauth: bool
) -> None:
    more = {"OAUTH_ENABLED": "true"} if oauth else {}
    async with upstreamed(tmp_path, clock, team, three, policy=POLICY, **more) as house:
        keys = (await house.house.lan_request("GET", "/jwks")).json()["keys"]
        by_kid = {key["kid"]: jwt.PyJWK(key) for key in keys}
        for who, kind, door in (
            (ALICE, "person", "tunnel"),
            (BOB, "person", "tunnel"),
            ("lan", "lan", "lan"),
        ):
            token = await header(house, "told_seen", who)
            assert token is not None
            head = jwt.get_unverified_header(token)
            assert head["typ"] == TYPE
            claims = jwt.decode(
                token,
                by_kid[head["kid"]],
                ["RS256"],
                audience="told",
                issuer=PUBLIC,
                options={"verify_exp": False, "verify_iat": False},
            )
            assert (claims["sub"], claims["kind"], claims["door"]) == (who, kind, door)
            assert claims["exp"] - claims["iat"] == 60
            assert claims["iat"] == int(clock.at)
            assert claims.get("email") == (who if kind == "person" else None)
        assert await header(house, "untold_seen", ALICE) is None
        meta = json.loads(text_of(await house.call("piped_seen", ALICE)))["meta"]
        assert jwt.decode(meta["brain-mcp/principal"], options={"verify_signature": False})["aud"] == "piped"


async def test_it_opens_no_door_of_ours(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with upstreamed(tmp_path, clock, team, three, policy=POLICY, OAUTH_ENABLED="true") as house:
        token = await header(house, "told_seen", ALICE)
        for credential in ({"Authorization": f"Bearer {token}"}, {"Cf-Access-Jwt-Assertion": str(token)}):
            answer = await house.house.tunnel_request("POST", "/mcp", headers=credential, json={})
            assert answer.status_code == 401


async def test_it_is_signed_anew_before_it_is_old(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with upstreamed(tmp_path, clock, team, three, policy=POLICY) as house:
        first = await header(house, "told_seen", ALICE)
        assert await header(house, "told_seen", ALICE) == first
        clock.advance(31)
        assert await header(house, "told_seen", ALICE) != first


async def test_without_anybody_to_tell_there_is_no_key(tmp_path: Path, clock: Clock, team: Team) -> None:
    entries = lambda folder, web: "version = 1\n"  # noqa: E731
    async with upstreamed(tmp_path, clock, team, entries) as house:
        assert (await house.house.lan_request("GET", "/jwks")).status_code == 404
        assert not (tmp_path / "oauth-keys").exists()
