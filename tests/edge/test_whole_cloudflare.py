"""`brain simulate --cloudflare` as a process: a tunnel set up over its API, and a real cloudflared in it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.audit.waiting import until_true
from tests.house import HOST
from tests.simulator.account import Api
from tests.simulator.origin import Origin, Seen
from tests.simulator.test_simulate_commands import started

from .cloudflared import starting


@asynccontextmanager
async def outside(variables: dict[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    trusting = ssl.create_default_context(cafile=variables["SSL_CERT_FILE"])
    proxy = httpx2.Proxy(variables["HTTPS_PROXY"])
    async with httpx2.AsyncClient(proxy=proxy, verify=trusting, trust_env=False) as client:
        yield client


async def test_with_the_printed_variables_a_tunnel_is_set_up_run_and_protected(
    origin: tuple[Origin, str], tmp_path: Path
) -> None:
    async with started("--cloudflare") as (_process, facts), httpx2.AsyncClient(trust_env=False) as http:
        variables: dict[str, Any] = facts["environment"]
        api = Api(variables, http)
        tunnel_id, token = await api.tunnel(origin[1])
        await api.name(tunnel_id)
        async with starting(variables, tmp_path / "one", token), outside(variables) as client:

            async def answers() -> bool:
                return (await client.get(f"https://{HOST}/")).status_code == 200

            await until_true(answers, 20)
            assert Seen((await client.get(f"https://{HOST}/")).json()).one("host") == HOST
            await api.protect(HOST, "allow", {"email": {"email": "alice@example.com"}})
            answer = await client.get(f"https://{HOST}/")
            assert answer.headers["location"].startswith(f"{facts['team']}/cdn-cgi/access/login/")
