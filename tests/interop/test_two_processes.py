"""Two `brain serve` on one DATA_DIR behind the edge: what one of them did, the other knows at once."""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
import pytest_asyncio

from tests.cli.brain import free_port, serving
from tests.house import POLICY, Clock

from .browser import Person
from .callback import Callback
from .place import WHO, edge, environment

pytestmark = pytest.mark.asyncio(loop_scope="module")

VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
EACH = 5
WHOAMI = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}


@dataclass
class Twins:
    """`doors`: the tunnel doors of both, as cloudflared reaches them. The edge leads to the first."""

    public: str
    doors: tuple[str, str]
    person: Person
    callback: Callback
    http: httpx2.AsyncClient
    client_id: str = ""

    async def post(self, door: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"host": self.public.removeprefix("http://"), **more.pop("headers", {})}
        return await self.http.post(door + path, headers=headers, **more)

    async def at_both(self, path: str, **form: str) -> list[httpx2.Response]:
        """The same request, several times at each, all at once."""
        calls = [
            self.post(door, path, data={**form, "client_id": self.client_id}) for door in self.doors * EACH
        ]
        return await asyncio.gather(*calls)

    async def code(self) -> str:
        """After a login and a consent in the browser."""
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.callback.url,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        await self.person.visit(f"{self.public}/authorize?{urlencode(query)}")
        return (await self.callback.next())["code"]

    def exchange(self, code: str) -> dict[str, str]:
        return {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": self.callback.url,
        }

    async def tokens(self) -> dict[str, Any]:
        """By a code that one process gave and the other one exchanges."""
        form = {**self.exchange(await self.code()), "client_id": self.client_id}
        answer = await self.post(self.doors[1], "/token", data=form)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def statuses(self, access_token: str) -> list[int]:
        """Of a call at each door."""
        headers = {
            "authorization": f"Bearer {access_token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-06-18",
        }
        answers = [await self.post(door, "/mcp", json=WHOAMI, headers=headers) for door in self.doors]
        return [answer.status_code for answer in answers]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def twins(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twins]:
    folder = tmp_path_factory.mktemp("twins")
    (folder / "policy.toml").write_text(POLICY)
    first, second = free_port(), free_port()
    async with (
        edge(Clock(time.time()), f"127.0.0.1:{first}") as (_, access),
        serving(folder, **environment(folder, access), TUNNEL_DOOR=f"127.0.0.1:{first}"),
        serving(folder, **environment(folder, access), TUNNEL_DOOR=f"127.0.0.1:{second}"),
        Person.at_a_browser(WHO) as person,
        Callback.listening() as callback,
        httpx2.AsyncClient(trust_env=False, timeout=20) as http,
    ):
        doors = (f"http://127.0.0.1:{first}", f"http://127.0.0.1:{second}")
        twins = Twins(access.edge_url, doors, person, callback, http)
        body = {"redirect_uris": [callback.url], "token_endpoint_auth_method": "none"}
        twins.client_id = (await twins.post(doors[1], "/register", json=body)).json()["client_id"]
        yield twins


async def test_H16_Q8_a_code_is_good_once_whichever_process_is_asked(twins: Twins) -> None:
    answers = await twins.at_both("/token", **twins.exchange(await twins.code()))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    lost = [answer.json()["error"] for answer in answers if answer.status_code != 200]
    assert lost == ["invalid_grant"] * (2 * EACH - 1)
    # RFC 6749 §4.1.2: a code that is tried twice may be stolen, so what it gave is over, at both.
    assert await twins.statuses(won[0].json()["access_token"]) == [401, 401]


async def test_J12_Q8_a_refresh_token_used_at_both_processes_stays_one_chain(twins: Twins) -> None:
    tokens = await twins.tokens()
    answers = await twins.at_both("/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert [answer.status_code for answer in answers] == [200] * 2 * EACH, answers[0].text
    [successor] = {answer.json()["refresh_token"] for answer in answers}
    for answer in answers:
        assert await twins.statuses(answer.json()["access_token"]) == [200, 200]
    again = {"grant_type": "refresh_token", "refresh_token": successor, "client_id": twins.client_id}
    assert (await twins.post(twins.doors[1], "/token", data=again)).status_code == 200


async def test_K1_Q8_a_revocation_in_one_process_counts_in_the_other_at_once(twins: Twins) -> None:
    tokens = await twins.tokens()
    assert await twins.statuses(tokens["access_token"]) == [200, 200]  # and both remember it now
    form = {"token": tokens["refresh_token"], "client_id": twins.client_id}
    assert (await twins.post(twins.doors[0], "/revoke", data=form)).status_code == 200
    assert await twins.statuses(tokens["access_token"]) == [401, 401]
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": twins.client_id,
    }
    refused = await twins.post(twins.doors[1], "/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
