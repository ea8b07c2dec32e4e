"""From open to closed: what is taken away at Cloudflare, and what can be said once nothing runs here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set

import httpx2

from app.errors import AppError
from app.provision import apply as provision
from app.provision.apply import everything
from app.provision.cloudflare import Cloudflare
from app.provision.connectors import others
from app.provision.files import TunnelFiles
from app.provision.found import Found
from app.provision.marks import unmarked
from app.provision.plan import Step
from app.provision.reading import connections
from app.tunnel.proof import NotClosed, prove_gone

LOOK_EVERY = 2.0

Say = Callable[[str], None]


async def down(
    hostname: str,
    api: Cloudflare,
    files: TunnelFiles,
    progress: Callable[[Step], None],
    *,
    goes: Callable[[Step], bool] = everything,
    patience: float = 180.0,
) -> tuple[Step, ...]:
    """What `goes`, of `hostname`, is no longer at Cloudflare, and the name does not answer any more; what
    stays is returned, as the steps that would take it away. Raises NotClosed if it still answers after
    `patience` seconds."""
    stays = await provision.down(api, files, progress, hostname=hostname, goes=goes)
    async with httpx2.AsyncClient(base_url=f"https://{hostname}") as public:
        await prove_gone(f"https://{hostname}", public, within=patience)
    return stays


async def end(hostname: str, api: Cloudflare, files: TunnelFiles, say: Say, *, patience: float) -> None:
    """When the time is over: the exposure goes. Service tokens are no part of it, for they are made, named
    and taken away by themselves."""
    say("The time is over. Everything is taken down again:")
    stays = await down(hostname, api, files, telling(say, []), goes=_exposes, patience=patience)
    tokens = ", ".join(unmarked(step.name) for step in stays)
    but = f" but service tokens ({tokens}): `brain tunnel down` takes them away, too" if tokens else ""
    say(f"{hostname} no longer answers, and nothing of it is left at Cloudflare{but}.")


async def undo(
    made: Sequence[Step], hostname: str, api: Cloudflare, files: TunnelFiles, say: Say, *, patience: float
) -> None:
    """When it could not be opened: what these steps created goes, if the name is of it. What was there
    before stays, for an application that is made anew has another AUD tag, and a service token another
    secret; and a name that was there before would stand without what was mended in front of it."""
    created = {(step.kind, step.name) for step in made if step.action == "create"}
    if not any(kind == "dns-record" for kind, _ in created):
        say("cloudflared is down. What was at Cloudflare before is still there.")
        return
    say("What was made just now is taken away again:")
    stays = await down(
        hostname,
        api,
        files,
        telling(say, []),
        goes=lambda step: (step.kind, step.name) in created,
        patience=patience,
    )
    left = "What was there before is still there." if stays else "Nothing of it is left at Cloudflare."
    say(f"{hostname} does not answer. {left}")


def telling(say: Say, told: list[Step]) -> Callable[[Step], None]:
    """Says each step as it begins, numbered, and adds it to `told`."""

    def tell(step: Step) -> None:
        told.append(step)
        say(f"{len(told):>3}. {step}")

    return tell


def _exposes(step: Step) -> bool:
    return step.kind != "service-token"


async def alone(api: Cloudflare, found: Found, ours: Set[str], say: Say, *, within: float) -> None:
    """Returns when no connector but `ours` serves the tunnel; `ours` may grow meanwhile. One that was just
    killed is listed for a while, so it is asked again for `within` seconds. Raises NotClosed."""
    loop = asyncio.get_running_loop()
    until, said = loop.time() + within, False
    while strange := others(await connections(api, found), ours):
        names = ", ".join(strange)
        if loop.time() > until:
            raise NotClosed(
                f"Another connector serves this tunnel: {names}. Cloudflare sends requests to it, too, and "
                "nobody knows what answers there. End it; if you do not know it, somebody has the tunnel's "
                "token: `brain tunnel down` ends that (and service tokens), and up makes a new one."
            )
        if not said:
            said = True
            say(
                f"ANOTHER CONNECTOR serves this tunnel: {names}. If it does not go within {within:.0f} s, "
                "this is not opened. One that has just ended is listed for a while."
            )
        await asyncio.sleep(LOOK_EVERY)


async def said_of_the_end(api: Cloudflare, found: Found, ours: Set[str], url: str) -> str:
    """What is true of the name once our connector has ended."""
    more = "`brain tunnel down` takes it away at Cloudflare, too."
    try:
        strange = others(await connections(api, found), ours)
    except AppError:
        return f"cloudflared is down. Whether another connector serves {url} could not be asked. {more}"
    if strange:
        return f"cloudflared is down here, but ANOTHER CONNECTOR serves {url}: {', '.join(strange)}. {more}"
    return f"{url} leads nowhere now. {more}"
