"""From closed to open and back: what `brain tunnel up` does, in this order.

The server starts before cloudflared, and has refused every stranger before cloudflared connects it to the
world; then the public name has to refuse them all again. What is not proven is taken down.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from app import server
from app.closing import alone, end, said_of_the_end, telling, undo
from app.doors.sockets import listen
from app.errors import AppError
from app.house import House
from app.kept_open import keep_open, reloads_told, until
from app.provision import apply as provision
from app.provision.apply import Applied
from app.provision.cloudflare import Cloudflare
from app.provision.files import TunnelFiles
from app.provision.found import Found
from app.provision.plan import Step
from app.provision.state import State
from app.provision.wanted import Intent
from app.settings import Settings
from app.settings.values import Tcp
from app.tunnel.config import SIGNED_IN, Exposure, render
from app.tunnel.lint import lint
from app.tunnel.proof import Attempt, NotClosed, NotReachable, attempts, prove
from app.tunnel.run import Connector, Launch
from app.tunnel.run import State as Connection
from app.welcome import welcome

DOOR_WITHIN = 10.0

Say = Callable[[str], None]


class _Enough(Exception):
    """Told to stop."""


@dataclass(frozen=True)
class Opening:
    """What `up` works with; times are seconds.

    `settings_for`: the server's settings once team and AUD tags are known. `say` takes lines for people.
    `stop` is set when it is enough. `ttl`: how long it stays open; None: until `stop`. `patience`: for the
    connector, and then for the public name: DNS and Access take a minute.
    """

    intent: Intent
    files: TunnelFiles
    settings_for: Callable[[State], Settings]
    cloudflared: Path
    environ: Mapping[str, str]
    say: Say
    stop: asyncio.Event
    now: Callable[[], float]
    ttl: float | None = None
    patience: float = 180.0

    @property
    def url(self) -> str:
        return f"https://{self.intent.hostname}"


async def up(opening: Opening, api: Cloudflare, doors: Settings) -> None:
    """Returns when it was told to stop, or after the `ttl` with nothing of the exposure left at Cloudflare:
    name, firewall rule, tunnel, applications and policies, but never a service token.

    `doors`: settings as far as they say where the doors listen. Raises AppError for what cannot be done or
    proven: the connector is down then, and if this very call made the name, all that it made is taken away.
    """
    with contextlib.ExitStack() as stack:
        # First of all, because a port in use is the likeliest trouble.
        sockets = [stack.enter_context(one) for one in _listening(doors, opening)]
        made, host = list[Step](), opening.intent.hostname
        applied = await provision.apply(api, opening.files, opening.intent, telling(opening.say, made))
        for note in applied.notes:
            opening.say(f"Note: {note}")
        ours: set[str] = set()
        try:
            over = await _open(opening, api, applied, ours, sockets)
        except AppError as problem:
            opening.say(f"NOT OPEN. {problem.public}")
            await undo(made, host, api, opening.files, opening.say, patience=opening.patience)
            raise
    if over:
        await end(host, api, opening.files, opening.say, patience=opening.patience)
    else:
        opening.say(await said_of_the_end(api, applied.found, ours, opening.url))


async def _open(
    opening: Opening, api: Cloudflare, applied: Applied, ours: set[str], sockets: list[socket.socket]
) -> bool:
    """Open until the time is over (True), or until it is enough (False). `ours` takes the ids of our
    connectors: cloudflared has another one each time it starts."""
    over, problem = False, None
    async with contextlib.AsyncExitStack() as stack:
        try:
            await _step_by_step(stack, opening, api, applied, ours, sockets)
            over = True
        except _Enough:
            pass
        except AppError as caught:
            problem = caught  # raised once all is down: through what runs it would come out in a group
    if problem is not None:
        raise problem
    return over


async def _step_by_step(
    stack: contextlib.AsyncExitStack,
    opening: Opening,
    api: Cloudflare,
    applied: Applied,
    ours: set[str],
    sockets: list[socket.socket],
) -> None:
    """Returns when the time is over. What was started is ended by `stack`: cloudflared first."""
    intent, say, state = opening.intent, opening.say, applied.state
    settings = opening.settings_for(state)
    _check_rules(applied.found, intent, state, settings)
    strange = _strangers(opening, state)
    house, serving = await stack.enter_async_context(_served(settings, sockets))
    door = await stack.enter_async_context(_at_the_door(sockets[1], intent.hostname))
    asked = partial(prove, team=state.team, host=intent.hostname)
    proof = asked("The tunnel door", door, strange, within=DOOR_WITHIN)
    await _meanwhile(proof, opening.stop, serving)
    say(f"The tunnel door refuses every stranger: {len(strange)} ways in were tried.")

    connector = Connector(_launch(opening, state), partial(_heard, say, ours))
    running = await stack.enter_async_context(_running(connector))
    await _meanwhile(_connected(connector, opening.patience), opening.stop, serving, running)
    nobody_else = alone(api, applied.found, ours, say, within=opening.patience)
    await _meanwhile(nobody_else, opening.stop, serving, running)

    public = await stack.enter_async_context(httpx2.AsyncClient(base_url=opening.url))
    proof = prove(
        opening.url, public, strange, team=state.team, host=intent.hostname, within=opening.patience
    )
    await _meanwhile(proof, opening.stop, serving, running)
    say(f"{opening.url} refuses every stranger, too.")
    now = opening.now()
    say(welcome(opening.url, intent, applied.found, now, until(opening.ttl, now) if opening.ttl else ""))
    look = reloads_told(house.policy, opening.files, say)
    await _meanwhile(keep_open(opening.ttl, opening.now, look), opening.stop, serving, running)


def _strangers(opening: Opening, state: State) -> tuple[Attempt, ...]:
    """In the name of somebody whom the policy knows: that is who a stranger would want to be."""
    people = [email for rule in opening.intent.rules for email in sorted(rule.emails)]
    return attempts(
        SIGNED_IN if opening.intent.topology == "oauth" else ("/", "/healthz"),
        team=state.team,
        aud=state.auds[0],
        email=people[0] if people else "somebody@example.com",
        now=opening.now(),
    )


def _check_rules(found: Found, intent: Intent, state: State, settings: Settings) -> None:
    """What Cloudflare will send to cloudflared: read back from there, so whatever somebody added is in it."""
    exposure = _exposure(intent, state)
    for kept in found.all("configuration"):
        if wrong := lint(kept, exposure, lan_port=settings.lan_door.port, remote=True):
            told = "\n".join(f"- {finding.where}: {finding.sentence} {finding.fix}" for finding in wrong)
            raise NotClosed(f"The tunnel's configuration at Cloudflare is not as it should be:\n{told}")


@contextlib.asynccontextmanager
async def _served(
    settings: Settings, sockets: list[socket.socket]
) -> AsyncIterator[tuple[House, asyncio.Task[Any]]]:
    stop = asyncio.Event()
    async with server.build(settings) as house:
        serving = asyncio.create_task(server.run(house, sockets, stop=stop), name="the server")
        try:
            yield house, serving
        finally:
            stop.set()
            await asyncio.wait((serving,))


@contextlib.asynccontextmanager
async def _running(connector: Connector) -> AsyncIterator[asyncio.Task[Any]]:
    running = asyncio.create_task(connector.run(), name="cloudflared")
    try:
        yield running
    finally:
        connector.stop()
        await asyncio.wait((running,))


async def _meanwhile(
    work: Coroutine[Any, Any, None], stop: asyncio.Event, *others: asyncio.Task[Any]
) -> None:
    """`work`, for as long as nobody has had enough and all the others go on. Raises _Enough, NotReachable,
    and what an other one ended with."""
    doing, enough = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, enough, *others}, return_when=asyncio.FIRST_COMPLETED)
        if enough.done():
            raise _Enough
        for other in others:
            if other.done():
                other.result()
                raise NotReachable(f"{other.get_name()} has ended.")
        await doing
    finally:
        for task in (doing, enough):
            task.cancel()
        await asyncio.gather(doing, enough, return_exceptions=True)


async def _connected(connector: Connector, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await connector.connected()
    except TimeoutError:
        raise NotReachable(
            f"cloudflared had no connection to Cloudflare within {within:.0f} s. {connector.state.sentence}"
        ) from None


def _heard(say: Say, ours: set[str], connection: Connection) -> None:
    ours |= {connection.connector_id} - {""}
    say(connection.sentence)


def _launch(opening: Opening, state: State) -> Launch:
    """With a configuration file of its own, never one that happens to be on this machine; it counts until
    Cloudflare has sent what it keeps with the tunnel, which is the same."""
    config = opening.files.keep_config(render(_exposure(opening.intent, state)))
    return Launch(opening.cloudflared, opening.files.token_file, config, opening.environ)


def _exposure(intent: Intent, state: State) -> Exposure:
    return Exposure(intent.hostname, intent.door, intent.topology, state.team, state.auds)


def _listening(doors: Settings, opening: Opening) -> Iterable[socket.socket]:
    yield listen(doors.lan_door)
    yield listen(doors.tunnel_door or Tcp("127.0.0.1", 8085))


def _at_the_door(door: socket.socket, hostname: str) -> httpx2.AsyncClient:
    """A client that comes to the tunnel door as cloudflared would."""
    here = door.getsockname()
    if isinstance(here, str):
        transport = httpx2.AsyncHTTPTransport(uds=here)
        return httpx2.AsyncClient(base_url=f"http://{hostname}", transport=transport, trust_env=False)
    place = Tcp("127.0.0.1" if here[0] == "0.0.0.0" else here[0], here[1])  # noqa: S104 - to be reached
    return httpx2.AsyncClient(base_url=f"http://{place}", headers={"Host": hostname}, trust_env=False)
