"""Two requests sent one right behind the other, as a front may send those of different people."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, cast

from app.doors.http import Receive, Scope, Send
from app.doors.sockets import listen
from app.server import web_server
from app.settings.values import Tcp
from tests.audit.waiting import until
from tests.cli.brain import free_port

secret: ContextVar[bytes] = ContextVar("secret", default=b"nothing")


async def tells(scope: Scope, receive: Receive, send: Send) -> None:
    """What it finds, having left something there."""
    found = secret.get()
    secret.set(scope["raw_path"])
    headers = [(b"content-length", str(len(found)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": found})


async def test_the_second_sees_nothing_of_the_first() -> None:
    sockets = [listen(Tcp("127.0.0.1", free_port()))]
    server = web_server(cast(Any, SimpleNamespace(lan=tells, tunnel=None)), sockets)
    serving = asyncio.create_task(server.serve(sockets=sockets))
    try:
        await until(lambda: server.started)
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(*sockets[0].getsockname()[:2])
            writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(3)))
            said = b""
            while said.count(b"nothing") < 3 and (more := await reader.read(65536)):
                said += more
                assert b"/0" not in said.partition(b"\r\n\r\n")[2]
            writer.close()
    finally:
        server.should_exit = True
        await serving
    assert said.count(b"nothing") == 3
