"""One live connection to an upstream, of whatever kind: opened, negotiated, and closed again."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mcp_types as mt
from mcp.client.session import ClientSession
from mcp.shared.dispatcher import CallOptions, Dispatcher, ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from app import __version__
from app.upstreams.credentials import Credentials, credentials
from app.upstreams.entries import Command, Entry, Python, Url
from app.upstreams.errors import NOT_ASKED, UNREACHABLE, UNUSABLE, NoAnswer, UpstreamDown, in_words
from app.upstreams.guarded import Guarded, weight
from app.upstreams.in_process import in_process
from app.upstreams.listing import MOST, Definition
from app.upstreams.pipe import Pipe
from app.upstreams.process import process
from app.upstreams.redaction import Redactor
from app.upstreams.web import posts, web

PAGES = 100  # of a list, at most
LIST_BYTES = 16 * 1024 * 1024  # of all its pages, about
US = mt.Implementation(name="brain-mcp", version=__version__)


Speaking = Callable[[contextlib.AsyncExitStack, Dispatcher[Any]], Awaitable[tuple["Session", Guarded]]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an upstream is opened: `folder` for relative paths, `environ` for credentials alone.
    `hear`: see process.py."""

    folder: Path
    environ: Mapping[str, str]
    clock: Callable[[], float]
    hear: Callable[[], Callable[[str], None]] | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """`why()`: how it ended, in more words than the dispatcher knows."""

    session: Session
    line: Guarded
    why: Callable[[], str]


class Session(ClientSession):
    """Says that it can be asked questions only where they are passed on to whoever calls."""

    async def send_raw(
        self, method: str, params: dict[str, Any], seconds: float, progress: ProgressFnT | None
    ) -> dict[str, Any]:
        """`send_request` without its models: what is on the wire, unchecked. `params` are stamped."""
        data: dict[str, Any] = {"method": method, "params": params}
        options: CallOptions = {"timeout": seconds}
        if progress is not None:
            options["on_progress"] = progress
        self._stamp(data, options)
        return await self._dispatcher.send_raw_request(method, params, options)

    def _build_capabilities(self, version: str) -> mt.ClientCapabilities:
        able = super()._build_capabilities(version)
        if version in MODERN_PROTOCOL_VERSIONS:
            return able
        return able.model_copy(update={"elicitation": None, "sampling": None})


@contextlib.asynccontextmanager
async def link(entry: Entry, place: Place, changed: Callable[[], None] = lambda: None) -> AsyncIterator[Link]:
    """Raises UpstreamDown, CredentialMissing, or whatever a transport raises when it breaks.

    `changed` is told when the upstream says that its lists are other ones.
    """
    given = credentials(entry, place.environ, place.folder)

    async def speaking(stack: contextlib.AsyncExitStack, inner: Dispatcher[Any]) -> tuple[Session, Guarded]:
        bare = entry.max_result if isinstance(entry.to, Python) else None
        line = Guarded(inner, Redactor(given.secrets), clock=place.clock, changed=changed, bare=bare)
        session = Session(
            dispatcher=line, client_info=US, elicitation_callback=_not_here, sampling_callback=_not_here
        )
        return await stack.enter_async_context(session), line

    async with contextlib.AsyncExitStack() as stack:
        inner: Dispatcher[Any]
        why: Callable[[], str] = lambda: ""  # noqa: E731
        try:
            if isinstance(entry.to, Url):
                session, line = await _over_http(entry, entry.to, given, stack, speaking)
            elif isinstance(entry.to, Command):
                start = partial(
                    process,
                    entry.name,
                    entry.to,
                    given,
                    place.folder,
                    most=entry.max_result,
                    clock=place.clock,
                    hear=place.hear,
                )
                session, line, pipe = await _over_pipes(start, stack, speaking)
                why = lambda: pipe.why  # noqa: E731
            else:
                inner = await stack.enter_async_context(in_process(entry.name, entry.to, place.folder))
                session, line = await speaking(stack, inner)
                await negotiate(session)
        except MCPError as problem:
            whole = in_words(problem, whole=True)
            raise UpstreamDown(why() or in_words(problem), detail=why() or whole) from None
        yield Link(session, line, why)


async def _over_pipes(
    start: Callable[[], contextlib.AbstractAsyncContextManager[Pipe]],
    stack: contextlib.AsyncExitStack,
    speaking: Speaking,
) -> tuple[Session, Guarded, Pipe]:
    """Some servers end over a first message that is not `initialize`, which the newest protocol does not
    have: they are started once more, and asked as they know it. Raises MCPError, UpstreamDown."""
    async with contextlib.AsyncExitStack() as attempt:
        pipe = await attempt.enter_async_context(start())
        session, line = await speaking(attempt, pipe)
        try:
            await negotiate(session)
        except NoAnswer as problem:
            if problem.error.code != mt.CONNECTION_CLOSED:
                raise
        else:
            stack.push_async_exit(attempt.pop_all())
            return session, line, pipe
    pipe = await stack.enter_async_context(start())
    session, line = await speaking(stack, pipe)
    try:
        await session.initialize()
    except NoAnswer as problem:
        raise UpstreamDown(pipe.why or in_words(problem)) from None
    return session, line, pipe


async def _over_http(
    entry: Entry, target: Url, given: Credentials, stack: contextlib.AsyncExitStack, speaking: Speaking
) -> tuple[Session, Guarded]:
    """The newest protocol by a POST a request; an older one by the SDK's transport. Raises MCPError."""
    bounds = {"seconds": entry.timeout, "most": entry.max_result}
    if target.transport == "http":
        async with contextlib.AsyncExitStack() as attempt:
            session, line = await speaking(attempt, attempt.enter_context(posts(target, given, **bounds)))
            if await discovers(session):
                stack.push_async_exit(attempt.pop_all())
                return session, line
    streams = await stack.enter_async_context(web(target, given, **bounds))
    session, line = await speaking(stack, JSONRPCDispatcher(*streams))
    await (session.initialize() if target.transport == "http" else negotiate(session))
    return session, line


async def negotiate(session: ClientSession) -> None:
    """The newest protocol that both speak; then the older handshake. Raises MCPError."""
    if not await discovers(session):
        await session.initialize()


async def discovers(session: ClientSession) -> bool:
    """Whether it speaks the newest protocol. Raises NoAnswer where nobody answered at all."""
    try:
        await session.discover()
    except NoAnswer as problem:
        if problem.error.code in (UNREACHABLE, UNUSABLE, mt.CONNECTION_CLOSED):
            raise
        return False
    except MCPError:
        return False
    except (RuntimeError, ValidationError):
        return False
    return True


async def lists(session: ClientSession) -> dict[str, list[Definition]]:
    """Everything it offers, as it says it on the wire. Raises MCPError, ValidationError."""
    able = session.server_capabilities or mt.ServerCapabilities()
    found: dict[str, list[Definition]] = {"tools": [], "prompts": [], "resources": [], "templates": []}
    if able.tools is not None:
        found["tools"] = await _all(session.list_tools, "tools")
    if able.prompts is not None:
        found["prompts"] = await _all(session.list_prompts, "prompts")
    if able.resources is not None:
        found["resources"] = await _all(session.list_resources, "resources")
        with contextlib.suppress(MCPError):  # many servers know of no templates at all
            found["templates"] = await _all(session.list_resource_templates, "resource_templates")
    return found


async def _all(ask: Callable[..., Any], part: str) -> list[Definition]:
    found: list[Definition] = []
    cursor: str | None = None
    left = LIST_BYTES
    for _ in range(PAGES):
        params = None if cursor is None else mt.PaginatedRequestParams(cursor=cursor)
        page = await ask(params=params)
        listed = [
            one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in getattr(page, part)
        ]
        if (left := weight(listed, left)) < 0:  # it is kept in memory, and written to disk
            raise NoAnswer(code=UNUSABLE, message=f"its list of {part} is larger than {LIST_BYTES >> 20} MiB")
        found += listed
        cursor = page.next_cursor
        if cursor is None or len(found) >= MOST:
            break
    return found


async def _not_here(context: Any, params: Any) -> mt.ErrorData:
    """A question in the middle of a call: there is no saying whose call it belongs to.

    The newest protocol asks by the result of the call, and that is passed on.
    """
    return mt.ErrorData(code=mt.INVALID_REQUEST, message=NOT_ASKED)
