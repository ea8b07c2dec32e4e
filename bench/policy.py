"""What the gate costs: one decision under 1,000 rules, and a list of 500 tools with it and without.

In CPU time of this process, which a busy machine changes less than the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from statistics import median
from typing import Any

import httpx2

from app.audit.recorder import Request
from app.gate import Gate
from app.mcp_server import BrainServer, new_server
from app.policy.arguments import Limit
from app.policy.decide import Operation, decide
from app.policy.denies import NONE
from app.policy.rules import READ, WRITE, OwnScope, Policy, Rule
from app.principal import Principal
from bench.servers import add_tools

RULES, TOOLS = 1_000, 500
ROUNDS, LISTS = 7, 6
LIST = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/list",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/list",
}


def measure() -> dict[str, float]:
    """Microseconds of a decision; milliseconds of the list over HTTP, and its ratio; medians of rounds."""
    return {**decisions(), **asyncio.run(lists())}


def decisions() -> dict[str, float]:
    """Warm: a call with arguments, and one under limits. Cold: the first one of a person."""
    policy, me = large_policy(), person(RULES // 2)
    calls = [Operation("tool", f"other_{n}", False, {"text": "x", "times": 2}) for n in range(TOOLS)]
    limited = [Operation("tool", "echo", False, {"text": "x" * n}) for n in range(TOOLS)]
    strangers = [person(RULES + n) for n in range(TOOLS)]
    return {
        "decision, warm": _median(policy, [(me, call) for call in calls]),
        "decision, warm, with limits": _median(policy, [(me, call) for call in limited]),
        "decision, first of a person": _each(policy, [(one, calls[0]) for one in strangers]),
    }


async def lists() -> dict[str, float]:
    """The same 500 tools through the same server, with the gate in it and without."""
    policy = large_policy()
    async with (
        served(None) as bare,
        served(lambda: (policy, person(RULES // 2))) as all_of_them,
        served(lambda: (policy, person(RULES + 1))) as few,
    ):
        for ask in (bare, all_of_them, few):
            await ask()
        taken: dict[str, list[float]] = {"unfiltered": [], "filtered": [], "few": []}
        for _ in range(ROUNDS):
            for name, ask in (("unfiltered", bare), ("filtered", all_of_them), ("few", few)):
                began = time.process_time()
                for _ in range(LISTS):
                    await ask()
                taken[name].append((time.process_time() - began) / LISTS * 1000)
    ms = {name: median(times) for name, times in taken.items()}
    ratio = median(a / b for a, b in zip(taken["filtered"], taken["unfiltered"], strict=True))
    return {
        "list unfiltered, ms": ms["unfiltered"],
        "list filtered, ms": ms["filtered"],
        "list filtered to a few, ms": ms["few"],
        "list filtered to unfiltered": ratio,
    }


def large_policy() -> Policy:
    """Rules for 1,000 people, each with a domain and a group; every third one has a limit."""
    own = tuple(OwnScope(f"own:{n}", "", tools=(f"other_{n}?", f"own_{n}_*")) for n in range(20))
    rules = tuple(
        Rule(
            f"rule {n}",
            frozenset({WRITE, f"own:{n % 20}"}),
            emails=frozenset({person(n).id}),
            domains=frozenset({f"firm{n}.example"}),
            groups=frozenset({f"group{n}"}),
            limits=(Limit("echo", "text", "max_length", 1000),),
        )
        for n in range(RULES - 1)
    )
    return Policy(own, frozenset({"*"}), (*rules, Rule("all", frozenset({READ}), any_person=True)))


def person(number: int) -> Principal:
    email = f"person{number}@example.com"
    return Principal("person", email, "tunnel", email, groups=frozenset({"staff"}))


def _median(policy: Policy, asked: list[tuple[Principal, Operation]]) -> float:
    """Microseconds of one, in a round in which all are known."""
    rounds = []
    for _ in range(ROUNDS + 1):
        began = time.process_time()
        for principal, operation in asked:
            decide(policy, principal, operation)
        rounds.append((time.process_time() - began) / len(asked) * 1e6)
    return median(rounds[1:])


def _each(policy: Policy, asked: list[tuple[Principal, Operation]]) -> float:
    times = []
    for principal, operation in asked:
        began = time.process_time()
        decide(policy, principal, operation)
        times.append((time.process_time() - began) * 1e6)
    return median(times)


@contextlib.asynccontextmanager
async def served(
    gated: Callable[[], tuple[Policy, Principal]] | None,
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A server of 500 tools in this process; the function asks it for its list."""
    server = new_server()
    add_tools(server, TOOLS)
    if gated is not None:
        server.add_middleware(_gate(server, gated))
    app = server.http_app(path="/mcp", stateless_http=True, json_response=True)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://bench") as http,
    ):

        async def ask() -> None:
            answer = await http.post("/mcp", json=LIST, headers=HEADERS)
            answer.raise_for_status()

        yield ask


def _gate(server: BrainServer, gated: Callable[[], tuple[Policy, Principal]]) -> Gate:
    policy, principal = gated()
    nothing: Any = None
    return Gate(
        server,
        request=lambda: Request(principal),
        policy=lambda: policy,
        denies=lambda: NONE,
        recorder=nothing,
    )


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:30} {value:8.2f}")
