"""A client that comes from the internet, as a process that lives in the stand-in world.

`python -m tests.exposure.through WAY URL [FILE]`: WAY is `person` (signed in at a browser, whose cookie it
has), `token` (a service token, from FILE), `oauth` (registers, and has its person sign in) or `nobody`.
Prints what it is and may use, as JSON.
`call URL ERA ARGUMENTS`: a person calls the slow tool; prints its answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import fastmcp
from fastmcp.client.transports import StreamableHttpTransport

from tests.interop.browser import Person
from tests.interop.place import Place
from tests.interop.python_clients import python_sdk

ALICE = "alice@example.com"


@dataclass
class Seen:
    tools: list[str]
    whoami: dict[str, Any]
    assertion: str | None = None


async def as_person(url: str) -> Seen:
    async with Person.at_a_browser(ALICE, proxied=True) as person:
        cookies = await cookies_of(person, url)
        assertion = dict(one.split("=", 1) for one in cookies.split("; "))["CF_Authorization"]
        return replace(await seen(url, {"Cookie": cookies}), assertion=assertion)


async def cookies_of(person: Person, url: str) -> str:
    await person.visit(url.removesuffix("mcp"))
    kept = [one for one in person.http.cookies.jar if "brain" in one.domain]
    return "; ".join(f"{one.name}={one.value}" for one in kept)


async def as_token(url: str, kept: dict[str, str]) -> Seen:
    headers = {"CF-Access-Client-Id": kept["client_id"], "CF-Access-Client-Secret": kept["client_secret"]}
    return await seen(url, headers)


async def as_oauth(url: str) -> Seen:
    async with Person.at_a_browser(ALICE, proxied=True) as person:
        person.generous = True
        place = cast(Place, SimpleNamespace(url=url, person=person, issuer=url.removesuffix("/mcp")))
        async with python_sdk(place) as session:
            tools = list(await session.tools())
            return Seen(tools, json.loads((await session.call("whoami", {})).text))


async def seen(url: str, headers: dict[str, str]) -> Seen:
    async with fastmcp.Client(StreamableHttpTransport(url, headers=headers)) as client:
        tools = [tool.name for tool in await client.list_tools()]
        return Seen(tools, dict((await client.call_tool("whoami")).structured_content or {}))


async def calls(url: str, era: str, arguments: dict[str, Any]) -> str:
    """The answer of the slow tool."""
    async with Person.at_a_browser(ALICE, proxied=True) as person:
        cookies = await cookies_of(person, url)
        transport = StreamableHttpTransport(url, headers={"Cookie": cookies})
        async with fastmcp.Client(transport, mode=cast(Any, era), timeout=300) as client:
            return str((await client.call_tool("slow_think", arguments)).data)


def main(way: str, url: str, *file: str) -> None:
    if way == "call":
        print(asyncio.run(calls(url, file[0], json.loads(file[1]))))
        return
    match way:
        case "person":
            coming = as_person(url)
        case "token":
            coming = as_token(url, json.loads(Path(file[0]).read_text()))
        case "oauth":
            coming = as_oauth(url)
        case _:
            coming = seen(url, {})
    found = asyncio.run(coming)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
