"""A house with the inner OAuth server, and tokens of it, made as another process of the DATA_DIR would."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastmcp import FastMCP

from app.oauth.keys import SigningKeys
from app.oauth.minting import Minted, client_subject, person_subject
from app.oauth.models import GRANT_SECONDS, Client, Code, Grant
from app.simulator import Team
from app.store.grants import SqlOAuth
from app.store.open import open_store
from tests.house import HOST, PUBLIC, Clock, TestHouse, open_house

RESOURCE = f"{PUBLIC}/mcp"
METADATA = f"{PUBLIC}/.well-known/oauth-protected-resource/mcp"
ALICE, BOB = "alice@example.com", "bob@example.com"
READ, WRITE = "mcp:tools:read", "mcp:tools:write"
LATEST = "2026-07-28"


@dataclass
class Holders:
    """`keys` and `store` are those of another process."""

    house: TestHouse
    keys: SigningKeys
    store: SqlOAuth
    folder: Path

    async def grant(self, who: str = ALICE, scopes: tuple[str, ...] = (READ,), **changes: Any) -> Grant:
        now = self.house.clock()
        if await self.store.find_client("c1") is None:
            await self.store.add_client(a_client(now))
        values: dict[str, Any] = {
            "id": secrets.token_urlsafe(16),
            "principal_id": who,
            "subject": f"subject-of-{who}",
            "client_id": "c1",
            "client_fingerprint": "f",
            "redirect_host": "client.example",
            "scopes": frozenset(scopes),
            "groups": frozenset(),
            "resource": RESOURCE,
            "created_at": now,
            "expires_at": now + GRANT_SECONDS,
            **changes,
        }
        grant = Grant(**values)
        code = Code(secrets.token_hex(32), grant.id, "c1", "https://client.example/cb", True, "x", now + 60)
        await self.store.add_grant(grant, code)
        return grant

    def minted(self, grant: Grant, scopes: tuple[str, ...] | None = None) -> Minted:
        return self.keys.mint(
            sub=person_subject(grant.subject),
            client_id=grant.client_id,
            scopes=grant.scopes if scopes is None else scopes,
            resource=RESOURCE,
            grant_id=grant.id,
            now=self.house.clock(),
        )

    async def token(self, who: str = ALICE, scopes: tuple[str, ...] = (READ,)) -> str:
        return self.minted(await self.grant(who, scopes)).token

    def machine(self, client_id: str, scopes: tuple[str, ...]) -> str:
        subject = client_subject(client_id)
        return self.keys.mint(
            sub=subject,
            client_id=client_id,
            scopes=scopes,
            resource=RESOURCE,
            grant_id=subject,
            now=self.house.clock(),
        ).token

    async def ask(
        self,
        method: str,
        token: str | None = None,
        *,
        version: str = LATEST,
        headers: dict[str, str] | None = None,
        assertion: str | None = None,
        path: str = "/mcp",
        **params: Any,
    ) -> httpx2.Response:
        """One MCP request, as bytes on the wire."""
        sent = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": version}
        if version == LATEST:
            sent["Mcp-Method"] = method
            if name := params.get("name") or params.get("uri"):
                sent["Mcp-Name"] = name
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return await self.house.tunnel_request(
            "POST", path, json=body, headers={**sent, **(headers or {}), "Host": HOST}, token=assertion
        )

    async def call(
        self, name: str, token: str, *, version: str = LATEST, **arguments: Any
    ) -> httpx2.Response:
        return await self.ask("tools/call", token, version=version, name=name, arguments=arguments)


def a_client(now: float, client_id: str = "c1") -> Client:
    return Client(
        id=client_id,
        origin="registered",
        name="A client",
        redirect_uris=("https://client.example/cb",),
        auth_methods=frozenset({"none"}),
        grant_types=frozenset({"authorization_code", "refresh_token"}),
        created_at=now,
        fingerprint="f",
    )


def same_keys(folder: Path, clock: Clock, **changes: Any) -> SigningKeys:
    """The keys of `folder`, in an object of their own."""
    values: dict[str, Any] = {"algorithm": "RS256", "issuer": PUBLIC, "resource": RESOURCE, **changes}
    return SigningKeys(folder, now=clock, new_id=lambda: secrets.token_urlsafe(32), **values)


@asynccontextmanager
async def opened(
    folder: Path, clock: Clock, team: Team, *, mcp: FastMCP | None = None, **variables: Any
) -> AsyncIterator[Holders]:
    async with open_house(folder, clock, team, mcp=mcp, OAUTH_ENABLED="true", **variables) as house:
        other = await open_store(folder / "brain.db", now=clock, new_id=lambda: "")
        try:
            yield Holders(house, same_keys(folder, clock), SqlOAuth(other.database), folder)
        finally:
            await other.close()


def challenge_of(answer: httpx2.Response) -> dict[str, str]:
    """The parameters of the one challenge, read strictly."""
    values = answer.headers.get_list("www-authenticate")
    assert len(values) == 1, values
    scheme, _, rest = values[0].partition(" ")
    assert scheme == "Bearer"
    pair = r'[a-z_]+="(?:[^"\\]|\\.)*"'
    assert re.fullmatch(rf"{pair}(?:, {pair})*", rest), rest
    return dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', rest))
