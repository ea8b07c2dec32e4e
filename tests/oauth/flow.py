"""What a client and a person do at the tunnel door of a whole house: register, ask, consent, exchange, call.

Nothing here knows the inside: what goes over the wire is all there is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.house import PUBLIC, TestHouse

from .desk import CALLBACK, CHALLENGE, VERIFIER, answered, fields

ALICE, BOB = "alice@example.com", "bob@example.com"
READ, WRITE = "mcp:tools:read", "mcp:tools:write"
LATEST = "2026-07-28"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Browser:
    """Somebody who is signed in through Access, and the cookie that the house gave this browser."""

    house: TestHouse
    who: str = ALICE
    cookie: str = ""

    async def get(self, path: str, query: Mapping[str, Any]) -> httpx2.Response:
        return await self._sent("GET", path, {}, params=query)

    async def post(self, path: str, form: Mapping[str, Any]) -> httpx2.Response:
        ours = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
        return await self._sent("POST", path, ours, data=form)

    async def _sent(self, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx2.Response:
        if self.cookie:
            headers["Cookie"] = self.cookie
        token = self.house.team.token(self.who)
        reply = await self.house.tunnel_request(method, path, token=token, headers=headers, **more)
        if given := reply.headers.get("set-cookie"):
            self.cookie = given.partition(";")[0]
        return reply


async def register(house: TestHouse, **body: Any) -> dict[str, Any]:
    wanted = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", **body}
    reply = await house.tunnel_request("POST", "/register", json=wanted)
    assert reply.status_code == 201, reply.text
    registered: dict[str, Any] = reply.json()
    return registered


async def ask(browser: Browser, client: Mapping[str, Any], **query: Any) -> httpx2.Response:
    """GET /authorize; a parameter that is None is left out."""
    wanted = {
        "response_type": "code",
        "client_id": client["client_id"],
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "s t&te",
        "resource": f"{PUBLIC}/mcp",
        **query,
    }
    return await browser.get(
        "/authorize", {name: value for name, value in wanted.items() if value is not None}
    )


async def consent(browser: Browser, page: httpx2.Response, **changed: Any) -> httpx2.Response:
    """The form of the page, all ticked, allowed."""
    assert page.status_code == 200, page.text
    return await browser.post("/consent", {**fields(page), "decision": "allow", **changed})


async def code_for(browser: Browser, client: Mapping[str, Any], **query: Any) -> str:
    reply = await ask(browser, client, **query)
    return answered(reply if reply.status_code == 303 else await consent(browser, reply))["code"]


async def post_form(house: TestHouse, path: str, **form: Any) -> httpx2.Response:
    return await house.tunnel_request("POST", path, data=form)


async def exchange(house: TestHouse, client: Mapping[str, Any], code: str, **form: Any) -> httpx2.Response:
    wanted = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, **form}
    return await post_form(house, "/token", client_id=client["client_id"], **wanted)


async def refresh(house: TestHouse, client: Mapping[str, Any], token: str, **form: Any) -> httpx2.Response:
    wanted = {"grant_type": "refresh_token", "refresh_token": token, **form}
    return await post_form(house, "/token", client_id=client["client_id"], **wanted)


async def tokens(browser: Browser, client: Mapping[str, Any], **query: Any) -> dict[str, Any]:
    reply = await exchange(browser.house, client, await code_for(browser, client, **query))
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


async def call(
    house: TestHouse,
    token: str,
    method: str = "tools/call",
    *,
    headers: Mapping[str, str | None] | None = None,
    version: str = LATEST,
    **params: Any,
) -> httpx2.Response:
    """One request to /mcp with a bearer. `headers` replace; those that are None are left out."""
    sent: dict[str, str | None] = {
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
        "MCP-Protocol-Version": version,
    }
    if method == "tools/call" and not params:
        params = {"name": "whoami", "arguments": {}}
    if version == LATEST:
        sent |= {"Mcp-Method": method, "Mcp-Name": params.get("name")}
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    sent |= headers or {}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    given = {name: value for name, value in sent.items() if value is not None}
    return await house.tunnel_request("POST", "/mcp", json=body, headers=given)


def file_of(house: TestHouse) -> Path:
    return house.policy_file.with_name("brain.db")


def state_of(house: TestHouse) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the authorization server, but for the count of wrong verifiers."""
    with closing(sqlite3.connect(f"{file_of(house).as_uri()}?mode=ro", uri=True)) as other:
        names = [
            name
            for (name,) in other.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            if name.startswith("oauth_")
        ]
        found = {}
        for name in names:
            columns = [row[1] for row in other.execute(f"PRAGMA table_info({name})") if row[1] != "tries"]
            rows = other.execute(f"SELECT {', '.join(columns)} FROM {name}").fetchall()  # noqa: S608
            found[name] = sorted(rows, key=repr)
    return found
