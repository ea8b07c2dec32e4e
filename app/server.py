"""The composition root: what the server is made of, in the order in which it is put together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import uvicorn
import uvloop
from fastmcp import FastMCP

from app.access.jwks import KeySet
from app.audit.events import Event, reload_event
from app.audit.journal import CallJournal
from app.audit.log import AuditLog, AuditStore
from app.audit.metrics import Observer
from app.audit.recorder import Recorder
from app.audit.retention import Prunable, retention
from app.audit.takeover import take_over
from app.doors import health, stdio
from app.doors.http import App, Receive, Scope, Send
from app.doors.lan import LanDoor
from app.doors.paths import Paths, at, page
from app.doors.rates import Attempts, limited
from app.doors.shortcut import Shortcut
from app.doors.sockets import listen
from app.doors.streamed import Streamed
from app.doors.wire import Http1
from app.errors import AppError
from app.furnishing import furnish
from app.gate import Gate
from app.home import Parts, home_page, listed_tools
from app.house import House, Shared, who_asks
from app.mcp_server import is_untraced, new_server
from app.neighbours import neighbours
from app.notes.ids import uuid7
from app.policy.file import PolicyFile
from app.settings import Settings
from app.store.audit import SqlAudit, sealing_key
from app.store.denies import KillSwitch, SqlDenies
from app.store.open import open_store
from app.upstreams.watched import Watched

if TYPE_CHECKING:
    from app.authorization import Inner
    from app.oauth.bearer import Challenges

log = logging.getLogger("brain")

PROBES = (b"/healthz", b"/readyz", b"/metrics")  # of a supervisor on this machine, never limited
DRAIN_SECONDS = 8  # SIGTERM to the end: in-flight requests get this long, the whole within 10 s


class Records(AuditStore, Prunable, Protocol):
    """Where the audit log is kept."""


@contextlib.asynccontextmanager
async def build(
    settings: Settings,
    *,
    now: Callable[[], float] = time.time,  # noqa: TID251 - the one place where the clock comes in
    mcp: FastMCP | None = None,
    records: Records | None = None,
) -> AsyncIterator[House]:
    """The whole server but its sockets.

    `mcp`: another MCP server than the Brain behind the same doors; `records`: another audit store.
    """
    async with contextlib.AsyncExitStack() as stack:
        observer = Observer()
        store = await open_store(settings.database_url, now=now, new_id=lambda: new_note_id(now))
        stack.push_async_callback(store.close)
        records = records or SqlAudit(store.database, sealing_key(settings.data_dir / "audit.key"))
        with contextlib.suppress(AppError):  # said by the first record, and left for another start
            await take_over(settings.data_dir, records)
        journal = CallJournal(settings.data_dir, secrets.token_hex(4))
        stack.callback(journal.close)
        audit = AuditLog(records, journal, now)
        store.database.before_commit = audit.join

        def report(event: Event) -> None:
            observer(event)
            audit.note(event)

        policy = PolicyFile(settings.policy_file, now, lambda why: report(reload_event("policy", why)))
        kill_switch = KillSwitch(SqlDenies(store.database))
        request = who_asks(settings)
        recorder = Recorder(
            request=request,
            report=observer,
            audit=audit,
            clock=time.perf_counter,
            keep_args=settings.audit_args,
        )
        server = mcp or new_server()
        refusals: Challenges | None = None
        if settings.oauth_enabled:
            from app.authorization import challenges

            refusals = challenges(settings, policy)
        gate = Gate(
            server,
            request=request,
            policy=policy.current,
            denies=kill_switch.current,
            recorder=recorder,
            step_up=refusals.step_up if refusals else None,
            lists_ceiling=settings.oauth_list == "ceiling",
        )
        file = Watched(settings.upstreams_file)
        straight = furnish(server, store.notes, gate, settings.base_url, notes=file.found.brain)
        others = neighbours(settings, server, file, request=request, report=report, now=now)
        others.shown_by(observer.shows)
        plain = server.http_app(path="/mcp", stateless_http=True, json_response=True)
        streaming = server.http_app(path="/mcp", stateless_http=True)
        answer = straight.reply if is_untraced() else None
        named = Shortcut(plain, answer) if answer else plain
        mcp_path = at("/mcp", Streamed(plain, streaming, others.has, named=named))
        keys: KeySet | None = None
        limit, count = settings.rate_limit, observer.count
        inner: Inner | None = None
        shared = Shared(store.database, policy, kill_switch, report, count, now)
        if refusals is not None:
            from app.authorization import inner_server

            tools = partial(listed_tools, server)
            inner = await stack.enter_async_context(inner_server(settings, shared, refusals, tools))
        parts = Parts(server, policy, kill_switch, audit, store.database, lambda: keys, now)
        root = home_page(parts, settings, grants=inner.grants.facts if inner else None)
        paths = {
            "/mcp": mcp_path,
            "/mcp/": mcp_path,
            "/healthz": page(health.healthz),
            "/": inner.grants.app(root) if inner else root,
        }
        lan_paths = {
            **paths,
            "/readyz": page(health.readyz(lambda: store.database.rows("SELECT 1", {}))),
            "/metrics": page(health.metrics(observer.text)),
        }
        if others.jwks is not None:
            lan_paths["/jwks"] = others.jwks
        apps = [plain, streaming]
        if settings.transport == "sse":
            sse = server.http_app(transport="sse")
            lan_paths |= {"/sse": sse, "/messages/": sse}
            apps.append(sse)
        lan = LanDoor(
            limited(Paths(lan_paths), limit, now, report=report, count=count, free=PROBES),
            networks=settings.lan_networks,
            proxies=settings.lan_proxies,
            hosts=settings.lan_hosts,
            attempts=Attempts(settings.rate_limit_attempts, now),
            new_id=partial(secrets.token_hex, 8),
            report=report,
            count=count,
        )
        tunnel = None
        if settings.tunnel_door is not None:
            from app.internet import tunnel_door  # 2 MB that a server of the LAN alone has no use for

            tunnel, keys = await stack.enter_async_context(tunnel_door(settings, paths, shared, inner))
            kill_switch.on_change(tunnel.cut)
        await stack.enter_async_context(audit.running())
        await stack.enter_async_context(kill_switch.running())
        await stack.enter_async_context(
            retention(records, now, keep_days=settings.audit_keep_days, keep_mb=settings.audit_keep_mb)
        )
        for app in apps:
            await stack.enter_async_context(app.router.lifespan_context(app))
        await stack.enter_async_context(others.running())
        yield House(server, answer, gate, policy, lan, tunnel, observer, keys, lambda: others.upstreams)


def new_note_id(now: Callable[[], float]) -> str:
    return uuid7(int(now() * 1000), secrets.token_bytes(10))


async def serve(settings: Settings, *, up: Callable[[], None] = lambda: None) -> None:
    """Runs until SIGTERM or SIGINT (HTTP), or until the client closes standard input (stdio). `up` is called
    when the doors are open.

    Raises AppError when it cannot start: a port in use, a broken policy, an unusable database.
    """
    if settings.transport == "stdio":
        with stdio.claimed() as ends:  # before an upstream can print
            async with build(settings) as house:
                settle_memory()
                await stdio.serve(house.mcp, ends, house.answer)
        return
    sockets = [listen(settings.lan_door)]
    if settings.tunnel_door is not None:
        sockets.append(listen(settings.tunnel_door))
    async with build(settings) as house:
        endpoint = "/sse" if settings.transport == "sse" else "/mcp"
        log.info("LAN door: http://%s%s, no login", settings.lan_door, endpoint)
        if house.tunnel is not None:
            log.info(
                "tunnel door: %s, for %s, with Access assertions only",
                settings.tunnel_door,
                settings.base_url,
            )
        up()
        await run(house, sockets)


async def run(house: House, sockets: list[socket.socket], *, stop: asyncio.Event | None = None) -> None:
    """Serves `house` on `sockets`, the LAN door's first; returns when drained.

    Until SIGTERM or SIGINT, or with `stop`, which leaves the signals to the caller, until it is set."""
    server = web_server(house, sockets)
    settle_memory()
    async with asyncio.TaskGroup() as tasks:
        if stop is None:
            _stop_on_signals(server)
        else:
            waiting = tasks.create_task(_stop_with(server, stop))
        if house.keys is not None:
            tasks.create_task(house.keys.refresh())  # ahead of need
        await server.serve(sockets=sockets)
        if stop is not None:
            waiting.cancel()


def web_server(house: House, sockets: list[socket.socket]) -> uvicorn.Server:
    """The one server of both doors; the caller starts it and stops it."""
    config = uvicorn.Config(
        by_door(house, sockets),
        http=Http1,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # X-Forwarded-* never says who the peer is, or which scheme we speak.
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=2048,
        reset_contextvars=True,  # nothing of a request may be seen by one that was sent right behind it
    )
    server = uvicorn.Server(config)
    # Signals are ours: uvicorn would raise them again after the drain and end us with a failure.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    return server


def by_door(house: House, sockets: list[socket.socket]) -> App:
    """The door is the socket that a request came in by; whatever is not the LAN's is the tunnel's."""
    lan_port = sockets[0].getsockname()[1]
    tunnel = house.tunnel or _closed

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        here = scope.get("server") or ("", None)
        door = house.lan if here[1] == lan_port else tunnel
        await door(scope, receive, send)

    return dispatch


async def _closed(scope: Scope, receive: Receive, send: Send) -> None:
    raise PermissionError("a request for a door that is off")


def _stop_on_signals(server: uvicorn.Server) -> None:
    def stop() -> None:
        server.force_exit = server.should_exit  # the second signal does not wait
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def _stop_with(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


def settle_memory() -> None:
    """108,000 objects of the import graph never become garbage: a full collection is 70 ms of silence."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1_000)


def main(settings: Settings, *, up: Callable[[], None] = lambda: None) -> None:
    """Blocks until the server has ended."""
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, up=up))
