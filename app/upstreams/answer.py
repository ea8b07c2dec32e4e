"""One answer of HTTP/1.1 as it comes in, within bounds (RFC 9110, RFC 9112). llhttp parses, by httptools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import httptools

from app.upstreams.errors import BROKE_OFF, TOO_LARGE, UNREACHABLE, UNUSABLE, NoAnswer, refused, too_large

STREAM_TIMES = 16  # a stream of progress and one answer may be so many times as large as an answer
HEAD_MOST = 64 * 1024  # bytes that come without one of the body among them
HEADERS_MOST = 200


class Source(Protocol):
    """Where it comes from. Both do nothing once that serves another answer."""

    def resume(self, answer: Answer) -> None:
        """What it held has been read."""

    def drop(self, answer: Answer) -> None:
        """Nobody reads on: the connection is closed."""


class Answer:
    """To one request. Whole when `post` returns it, but for one that `streams`: `parts` are read as they
    come, and `close` ends it. `kind`: its Content-Type in small letters.

    `feed`, `end`, `fail` and `tell` are the connection's, `on_…` the parser's.
    """

    def __init__(self, source: Source, most: int, *, credential: bool = True) -> None:
        self._source, self._left, self._credential = source, most, credential
        self._parser: Any = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._problem: NoAnswer | None = None
        self._whole = self._framed = self._coded = False
        self._headers = self._dry = 0
        self.keep = self.streams = False
        self.status, self.kind, self.body = 0, "", bytearray()

    @property
    def over(self) -> bool:
        return self._parser is None

    async def told(self) -> None:
        """Until the whole of it is there, or the next part of a stream. Raises NoAnswer."""
        if not self.over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._problem is not None:
            raise self._problem

    async def parts(self) -> AsyncIterator[bytes]:
        """What came before it broke off, too. Raises NoAnswer."""
        while True:
            if self.body:
                part = bytes(self.body)
                self.body.clear()
                self._source.resume(self)
                yield part
            elif self._whole:
                return
            else:
                await self.told()

    def close(self) -> None:
        self._source.drop(self)

    def feed(self, data: bytes) -> None:
        self._dry += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self.keep = False
            ours = problem.__context__
            self.fail(ours if isinstance(ours, NoAnswer) else broke_off())
        else:
            if self._whole:
                self._parser = None
            elif self._dry > HEAD_MOST:
                self.fail(_endless())

    def end(self) -> None:
        """RFC 9112 §6.3 (8): without a length and without chunks, the body ends with the connection."""
        if self.status and not self._framed and not self.over:
            self._whole, self._parser = True, None

    def fail(self, problem: NoAnswer) -> None:
        """Nothing that comes after the whole of it can make it fail."""
        if not self._whole and not self.over:
            self._problem = problem
        self._parser = None

    def tell(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self.over or self.streams):
            self._waiter.set_result(None)

    def on_message_begin(self) -> None:
        if self._whole:
            raise broke_off()
        self._framed = self._coded = False
        self.kind = ""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        if self._headers > HEADERS_MOST:
            raise _endless()
        if self.status:
            return  # RFC 9110 §6.5.1: trailers are nothing of the head
        name, value = name.lower(), value.strip().lower()
        if name == b"content-type":
            self.kind = value.decode("latin-1")
        elif name == b"content-length":
            self._framed = True
        elif name == b"transfer-encoding":
            # RFC 9112 §7: chunked is the one coding of HTTP/1.1 itself, and the only one that we read.
            self._coded |= self._framed or value != b"chunked"
            self._framed = True
        elif name == b"content-encoding":
            self._coded |= value not in (b"", b"identity")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        # RFC 9112 §2.3: the parser knows more versions than we speak. RFC 9110 §7.8: we asked for no other.
        if self._parser.get_http_version() not in ("1.1", "1.0") or status < 100 or status == 101:
            raise broke_off()
        if status < 200:
            return  # RFC 9110 §15.2: the answer is still to come
        if (refusal := refused(status, credential=self._credential)) is not None:
            raise refusal
        if self._coded:
            raise NoAnswer(code=UNUSABLE, message="it encoded its answer in a way that was not asked for")
        self.status, self.streams = status, self.kind.startswith("text/event-stream")
        self._left *= STREAM_TIMES if self.streams else 1

    def on_body(self, data: bytes) -> None:
        self._dry = 0
        self._left -= len(data)
        if self._left < 0:
            raise too_large()
        self.body += data

    def on_message_complete(self) -> None:
        if self.status:
            self._whole, self.keep = True, self._parser.should_keep_alive()


def broke_off() -> NoAnswer:
    return NoAnswer(code=UNREACHABLE, message=BROKE_OFF)


def _endless() -> NoAnswer:
    """A head is no matter of what was asked for: this counts as a failure, a large body does not."""
    return NoAnswer(code=UNUSABLE, message=TOO_LARGE)
