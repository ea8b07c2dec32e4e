"""HTTP/1.1 for one thing: a POST to one URL and its answer, within bounds (RFC 9110, RFC 9112).

Nothing is followed, remembered, decoded or sent a second time.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
import ssl
from asyncio.staggered import staggered_race
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import httpx2

from app.upstreams.answer import Answer, broke_off
from app.upstreams.errors import NOT_REACHED, UNREACHABLE, NoAnswer

CONNECT_SECONDS = 10.0
NEXT_ADDRESS_SECONDS = 0.25
KEPT_SECONDS = 60.0
KEPT_MOST = 32
FULL = 64 * 1024  # bytes of a stream that nobody has read yet, before we stop reading

# RFC 9110 §5.1, §5.5: a name is a token; a value has no CR, LF, NUL or other controls, and is Latin-1.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Pool:
    """The connections to one URL. `headers`: of every request; ValueError when one cannot be sent.
    `most`: bytes of an answer. `kept`: seconds for which a connection without a request stays open.
    `credential`: the headers hold one."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        most: int,
        *,
        kept: float = KEPT_SECONDS,
        credential: bool = True,
    ) -> None:
        to = httpx2.URL(url)
        self._tls = _tls() if to.scheme == "https" else None
        self._host, self._port = to.raw_host.decode(), to.port or (443 if self._tls else 80)
        # RFC 9110 §12.5.3: without Accept-Encoding any coding would be welcome.
        fixed = {"Host": to.netloc.decode(), "Accept-Encoding": "identity", **headers}
        once = {name.lower(): (name, value) for name, value in fixed.items()}
        self._head = b"POST %b HTTP/1.1\r\n%b" % (to.raw_path, _fields(once.values()))
        self._kept = kept
        self._idle: list[Connection] = []  # the one that was used last is the last
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self.most, self.credential = most, credential
        self.open: set[Connection] = set()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises NoAnswer, and ValueError for a header that cannot be sent. A request that was written is
        never written again. Cancelling it closes its connection at once: so the server hears of it."""
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        request = b"".join((self._head, _fields(headers.items()), length, body))
        connection = self._ready() or await self._opened()
        answer = connection.ask(request)
        try:
            await answer.told()
        except BaseException:
            connection.abort()
            raise
        return answer

    def keep(self, connection: Connection) -> None:
        if len(self._idle) >= KEPT_MOST:
            self._idle[0].abort()
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._kept, self._expire)

    def forget(self, connection: Connection) -> None:
        self.open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Whoever waits for an answer is told that the connection broke off."""
        self._closed = True
        for connection in tuple(self.open):
            connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()

    def _ready(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_silent():
                return connection
            connection.abort()
        return None

    async def _opened(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await self._connected()
        except (OSError, UnicodeError) as problem:  # a name that cannot be one, too
            raise NoAnswer(code=UNREACHABLE, message=NOT_REACHED, data=_advice(problem)) from None
        if self._closed:
            connection.abort()
        return connection

    async def _connected(self) -> Connection:
        reached, connection = await _reached(self._host, self._port), Connection(self)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                sock=reached,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
        except BaseException:
            connection.abort()  # cancelled just as it was made; before that the loop closes what it was given
            raise
        return connection

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = None
        while self._idle:
            ends = self._idle[0].idle_since + self._kept
            if ends > loop.time():
                self._sweep = loop.call_at(ends, self._expire)
                return
            self._idle[0].abort()


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: Any = None
        self._answer: Answer | None = None
        self._paused = self._gone = False
        self._readable = select.poll()
        self.idle_since = 0.0

    def ask(self, request: bytes) -> Answer:
        if self._gone:
            raise broke_off()
        self._answer = answer = Answer(self, self._pool.most, credential=self._pool.credential)
        self._transport.write(request)
        return answer

    def is_silent(self) -> bool:
        """Nothing has come that the loop has not seen yet: the end of the connection, most likely."""
        return not self._transport.is_closing() and not self._readable.poll(0)

    def abort(self) -> None:
        self._gone = True
        self._pool.forget(self)
        if self._transport is not None:
            self._transport.abort()

    def drop(self, answer: Answer) -> None:
        if self._answer is answer:
            self.abort()

    def resume(self, answer: Answer) -> None:
        if self._answer is answer and self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._pool.open.add(self)

    def data_received(self, data: bytes) -> None:
        if (answer := self._answer) is None:
            self.abort()  # RFC 9112 §9.2: what comes without a request is no answer
            return
        answer.feed(data)
        if answer.over:
            self._settle(answer)
        elif len(answer.body) > FULL and answer.streams and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        answer.tell()

    def eof_received(self) -> None:
        if self._answer is not None:
            self._answer.end()
        self.connection_lost(None)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._pool.forget(self)
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fail(broke_off())
            answer.tell()

    def _settle(self, answer: Answer) -> None:
        """RFC 9112 §9.3: only a connection on which nothing of this exchange is left may serve the next."""
        self.resume(answer)
        self._answer = None
        if answer.keep and not self._transport.get_write_buffer_size():
            self._pool.keep(self)
        else:
            self.abort()


async def _reached(host: str, port: int) -> socket.socket:
    """RFC 8305 §5: of several addresses the first that answers, each tried a little after the one before."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    reached: list[socket.socket] = []
    winner: socket.socket | None = None
    tries = [partial(_reach, family, address, reached) for family, _, _, _, address in found]
    try:
        winner, _, _ = await staggered_race(tries, NEXT_ADDRESS_SECONDS)
    finally:
        for one in reached:
            if one is not winner:  # the second of two, or nobody waits for it any more
                one.close()
    if winner is None:
        raise OSError
    return winner


async def _reach(family: int, address: Any, reached: list[socket.socket]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(one, address)
    except BaseException:
        one.close()
        raise
    reached.append(one)
    return one


def _tls() -> ssl.SSLContext:
    """Trusts what the rest of us trusts: the system's store, or SSL_CERT_FILE and SSL_CERT_DIR."""
    context = httpx2.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _advice(problem: Exception) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {problem.verify_message} (SSL_CERT_FILE says whom to trust)"
    if isinstance(problem, ssl.SSLError):
        return "what listens there does not speak TLS; is it http://?"
    return getattr(problem, "strerror", None) or ""


def _fields(headers: Iterable[tuple[str, str]]) -> bytes:
    lines = []
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise ValueError("a header has a name that no header can have")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name} would hold what no header can hold")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")
