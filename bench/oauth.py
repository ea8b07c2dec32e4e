"""The inner OAuth server under load: whole ways in, refreshes, and what a call with a bearer costs.

`python -m bench.oauth`. A way in is: the question, the consent, the code for tokens, and a first call with
them, each by a person who was never here before. The load is raw HTTP/1.1, like that of the doors.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median
from urllib.parse import parse_qs, urlencode, urlsplit

from app.oauth.pkce import challenge_of
from app.simulator import Application, Simulator, Team, running
from bench.doors import HOST, Line, Series, our_server, rounds
from bench.load import MODERN, Job, body

AT_A_TIME = 4
SECONDS = 3.0
ROUNDS = 3
PEOPLE = 1500  # for each round
CALLBACK = "https://client.example/callback"
VERIFIER = "v" * 43
FORM = "application/x-www-form-urlencoded"


@dataclass
class Step:
    name: str
    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass
class Measured:
    """`calls`: with an assertion, and with a bearer."""

    steps: list[Step]
    calls: tuple[Line, Line]

    @property
    def cpu_ratio(self) -> float:
        return self.calls[1].cpu_us / self.calls[0].cpu_us


@dataclass
class Wire:
    """One kept-alive connection to the tunnel door."""

    port: int
    _ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, repr=False)

    async def send(
        self, method: str, path: str, content: bytes = b"", **headers: str
    ) -> tuple[int, bytes, bytes]:
        """(status, head, body). `headers` are spelled with `_` for `-`."""
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._ends
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return int(head[9:12]), head, await reader.readexactly(int(length[1]) if length else 0)

    async def json(self, path: str, content: bytes, kind: str) -> dict[str, str]:
        status, _, said = await self.send("POST", path, content, Content_Type=kind)
        if status not in (200, 201):
            raise RuntimeError(f"{path}: {status} {said[:200]!r}")
        found: dict[str, str] = json.loads(said)
        return found

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()


async def register(wire: Wire) -> str:
    asked = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "Bench"}
    return (await wire.json("/register", json.dumps(asked).encode(), "application/json"))["client_id"]


async def tokens(wire: Wire, client: str, assertion: str) -> dict[str, str]:
    """What a browser and a client do together, until there are tokens."""
    query = urlencode(
        {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": CALLBACK,
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "state": "s",
            "scope": "mcp:tools:write",
        }
    )
    status, head, page = await wire.send("GET", f"/authorize?{query}", Cf_Access_Jwt_Assertion=assertion)
    request = re.search(rb'name="request" value="([^"]+)"', page)
    cookie = re.search(rb"(?i)set-cookie: ([^;\r]+)", head)
    if status != 200 or request is None or cookie is None:
        raise RuntimeError(f"/authorize: {status}")
    scopes = [("scope", one.decode()) for one in re.findall(rb'name="scope" value="([^"]+)"', page)]
    form = urlencode([("request", request[1].decode()), *scopes, ("decision", "allow")]).encode()
    status, head, _ = await wire.send(
        "POST",
        "/consent",
        form,
        Content_Type=FORM,
        Origin=f"https://{HOST}",
        Cookie=cookie[1].decode(),
        Cf_Access_Jwt_Assertion=assertion,
    )
    location = re.search(rb"(?i)location: ([^\r]+)", head)
    if status != 303 or location is None:
        raise RuntimeError(f"/consent: {status}")
    code = parse_qs(urlsplit(location[1].decode()).query)["code"][0]
    return await grant(
        wire,
        client,
        grant_type="authorization_code",
        code=code,
        code_verifier=VERIFIER,
        redirect_uri=CALLBACK,
    )


async def grant(wire: Wire, client: str, **form: str) -> dict[str, str]:
    return await wire.json("/token", urlencode({"client_id": client, **form}).encode(), FORM)


async def first_call(wire: Wire, token: str) -> None:
    content = body(Job(wire.port, MODERN, HOST, 0))
    status, _, said = await wire.send(
        "POST",
        "/mcp",
        content,
        Content_Type="application/json",
        Accept="application/json, text/event-stream",
        MCP_Protocol_Version=MODERN,
        Mcp_Method="tools/call",
        Mcp_Name="echo",
        Authorization=f"Bearer {token}",
    )
    if status != 200 or b'"result"' not in said:
        raise RuntimeError(f"/mcp: {status} {said[:200]!r}")


async def under_load(port: int, once: Callable[[Wire, int], Awaitable[bool]]) -> list[float]:
    """Seconds of each, AT_A_TIME at a time for SECONDS. `once` is told who it is; False: there is no more."""

    async def worker(number: int) -> list[float]:
        wire, times = Wire(port), list[float]()
        until = time.perf_counter() + SECONDS
        while (began := time.perf_counter()) < until and await once(wire, number):
            times.append(time.perf_counter() - began)
        wire.close()
        return times

    taken = await asyncio.gather(*(worker(number) for number in range(AT_A_TIME)))
    return [one for times in taken for one in times]


def step(name: str, series: list[list[float]], seconds: float = SECONDS) -> Step:
    """Medians over the rounds; each connection is busy all the time, so its times add up to the round."""

    def at(times: list[float], share: float) -> float:
        return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000

    return Step(
        name,
        median(len(times) * AT_A_TIME / sum(times) for times in series),
        median(at(times, 0.50) for times in series),
        median(at(times, 0.99) for times in series),
    )


async def measure() -> Measured:
    """SQLite, one server process."""
    team = Team("acme", now=time.time)  # noqa: TID251
    async with running(Simulator(team, Application(origin="127.0.0.1:1", host=HOST))) as access:
        return await asyncio.to_thread(_measure, team, access.certs_url)


def _measure(team: Team, certs_url: str) -> Measured:
    with our_server(1, team, certs_url, OAUTH_ENABLED="true") as server:
        port = server.ports["tunnel"]
        steps = asyncio.run(_ways_in(port, team))
        alice = team.token("alice@example.com")
        bearer = asyncio.run(_bearer(port, alice))
        calls = rounds(
            [
                Series("a call with an assertion", server, "tunnel", MODERN, 1, [[alice]]),
                Series("a call with a bearer", server, "tunnel", MODERN, 1, [], bearer=bearer),
            ]
        )
    return Measured(steps, (calls[0], calls[1]))


async def _bearer(port: int, assertion: str) -> str:
    wire = Wire(port)
    found = await tokens(wire, await register(wire), assertion)
    wire.close()
    return found["access_token"]


async def _ways_in(port: int, team: Team) -> list[Step]:
    wire = Wire(port)
    client = await register(wire)
    ways_in, refreshes = list[list[float]](), list[list[float]]()
    for number in range(ROUNDS + 1):  # the first warms up
        people = [team.token(f"p{number}-{i}@example.com") for i in range(PEOPLE)]
        latest: dict[int, str] = {}

        async def way_in(
            wire: Wire, who: int, people: list[str] = people, latest: dict[int, str] = latest
        ) -> bool:
            if not people:
                return False
            given = await tokens(wire, client, people.pop())
            await first_call(wire, given["access_token"])
            latest[who] = given["refresh_token"]
            return True

        async def again(wire: Wire, who: int, latest: dict[int, str] = latest) -> bool:
            given = await grant(wire, client, grant_type="refresh_token", refresh_token=latest[who])
            latest[who] = given["refresh_token"]
            return True

        ways_in.append(await under_load(port, way_in))
        refreshes.append(await under_load(port, again))
    wire.close()
    return [
        step("way in: question, consent, tokens, first call", ways_in[1:]),
        step("refresh", refreshes[1:]),
    ]


if __name__ == "__main__":
    found = asyncio.run(measure())
    for one in found.steps:
        print(f"{one.name:50} {one.per_s:7.0f}/s  p50 {one.p50_ms:.1f} ms  p99 {one.p99_ms:.1f} ms")
    for line in found.calls:
        print(f"{line.name:50} {line.rps:7.0f}/s  p50 {line.p50_ms:.2f} ms  cpu {line.cpu_us:.0f} µs")
    print(f"bearer to assertion: CPU {found.cpu_ratio:.3f} ×")
