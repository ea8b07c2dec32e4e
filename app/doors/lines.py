"""MCP messages, one a line, on two descriptors that do not block: the streams that the SDK's loop serves.

Without threads and queues in between: passing every line through them took a fifth of a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextvars import Context
from types import TracebackType
from typing import Protocol, Self

import anyio
import mcp_types as mt
from mcp.shared.message import SessionMessage
from pydantic import ValidationError
from pydantic_core import from_json

CHUNK = 64 * 1024  # what a pipe holds
FULL = 256 * 1024  # bytes that wait to be read by the client before we wait too
LAST = 2.0  # seconds that a client has to read what is left when we end
KEPT = 4096  # bytes of either end of a line that is too long


class _Stream(ABC):
    @abstractmethod
    async def aclose(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Outgoing(_Stream):
    """A message goes out at once, and whole: nobody who is cancelled meanwhile tears it.

    `gone` is called once nobody reads any more.
    """

    def __init__(self, fd: int) -> None:
        self._fd, self._loop = fd, asyncio.get_running_loop()
        self._rest = bytearray()
        self._flowing = asyncio.Event()  # nothing is left to write, or nobody reads it
        self._flowing.set()
        self._broken = False
        self.gone: Callable[[], None] = lambda: None

    async def send(self, item: SessionMessage) -> None:
        await self.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode())

    async def write(self, message: bytes) -> None:
        """Raises BrokenResourceError when nobody reads any more."""
        while len(self._rest) > FULL:
            await self._flowing.wait()
        line = message + b"\n"
        left = line if self._rest else line[self._write(line) :]
        if self._broken:
            raise anyio.BrokenResourceError
        if left:
            if not self._rest:
                self._flowing.clear()
                self._loop.add_writer(self._fd, self._flush)
            self._rest += left
        await asyncio.sleep(0)  # whoever talks all the time must not keep the loop

    async def aclose(self) -> None:
        try:
            with anyio.move_on_after(LAST):
                await self._flowing.wait()
        finally:
            self._end()

    def _flush(self) -> None:
        del self._rest[: self._write(self._rest)]
        if not self._rest:
            self._stop()

    def _write(self, what: bytes | bytearray) -> int:
        if self._broken:
            return 0
        try:
            return os.write(self._fd, what)
        except BlockingIOError:
            return 0
        except OSError:
            self._end()
            self.gone()
            return 0

    def _end(self) -> None:
        self._broken = True
        self._rest.clear()
        self._stop()

    def _stop(self) -> None:
        self._loop.remove_writer(self._fd)
        self._flowing.set()


class Aside(Protocol):
    """Who answers some of the messages past the receiver."""

    def takes(self, line: bytes) -> bool:
        """Whether it does, or at least tries to."""

    def sees(self, message: mt.JSONRPCMessage) -> None:
        """One that is received next."""

    async def end(self) -> None:
        """There will be no more; what it has under way is not waited for."""


class Incoming(_Stream):
    """A line that is no message is answered, and handed on as the exception that it is.

    `most`: bytes of a line. What is longer is read and thrown away. What `aside` takes is not received,
    unless it gives it back.
    """

    def __init__(self, fd: int, outgoing: Outgoing, *, most: int) -> None:
        self._fd, self._loop = fd, asyncio.get_running_loop()
        self._outgoing, self._most = outgoing, most
        self._read = bytearray()
        self._searched = 0
        self._whole = True  # nothing of the line that begins what was read is thrown away yet
        self._watched = self._ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._returned: deque[tuple[SessionMessage, Context]] = deque()
        self.last_context: Context | None = None  # of what was received last, if somebody had it before
        self.aside: Aside | None = None
        outgoing.gone = self.end

    async def receive(self) -> SessionMessage | Exception:
        """Raises EndOfStream once the client has closed either of the two."""
        while True:
            found = None if self._returned else await self._line()
            if found is None:
                message, self.last_context = self._returned.popleft()
                return message
            line, whole = found
            if line.strip() and not (whole and self.aside is not None and self.aside.takes(line)):
                self.last_context = None
                return await self._message(line, whole)

    def give_back(self, message: SessionMessage, context: Context) -> None:
        """It is received next, as sent in `context`."""
        self._returned.append((message, context))
        self._wake()

    def end(self) -> None:
        """As if the client had ended here: what was not received is dropped."""
        self._read.clear()
        self._stop()

    async def aclose(self) -> None:
        self.end()
        await self._end_aside()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def _message(self, line: bytes, whole: bool) -> SessionMessage | Exception:
        try:
            if not whole:
                raise ValueError(f"a message is longer than {self._most} bytes")
            text = line.decode(errors="replace")
            message = mt.jsonrpc_message_adapter.validate_json(text, by_name=False)
        except ValueError as problem:
            await self._refuse(line, problem)
            return problem
        if self.aside is not None:
            self.aside.sees(message)
        return SessionMessage(message)

    async def _line(self) -> tuple[bytes, bool] | None:
        """The next one, and whether this is all of it. None: a message was given back before it came.

        Raises EndOfStream when there is none."""
        while (end := self._read.find(b"\n", self._searched)) < 0:
            self._whole = self._whole and len(self._read) <= self._most
            if not self._whole:
                del self._read[KEPT:-KEPT]
            self._searched = end = len(self._read)
            if self._ended:
                break
            await self._more()
            if self._returned:
                return None
        if self._ended and not self._read:
            await self._end_aside()
            raise anyio.EndOfStream
        line, whole = bytes(self._read[:end]), self._whole
        del self._read[: end + 1]
        self._searched, self._whole = 0, True
        return line, whole and len(line) <= self._most

    async def _end_aside(self) -> None:
        if self.aside is not None:
            await self.aside.end()

    async def _more(self) -> None:
        if not self._watched:
            self._loop.add_reader(self._fd, self._readable)
            self._watched = True
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _readable(self) -> None:
        try:
            chunk = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self._read += chunk
        if not chunk:
            self._stop()
        elif self._waiter is None or self._waiter.done():
            self._unwatch()  # the client waits until somebody wants more
        else:
            self._wake()

    def _stop(self) -> None:
        self._ended = True
        self._unwatch()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _unwatch(self) -> None:
        self._loop.remove_reader(self._fd)
        self._watched = False

    async def _refuse(self, line: bytes, problem: ValueError) -> None:
        """Says why to whoever asked, as far as the line shows who that was."""
        code, words, number = mt.INVALID_REQUEST, "a line is not a message of JSON-RPC 2.0", _number(line)
        if not isinstance(problem, ValidationError):
            words = str(problem)
        elif problem.errors(include_input=False, include_url=False)[0]["type"] == "json_invalid":
            code, words, number = mt.PARSE_ERROR, "a line is not JSON", None
        error = mt.JSONRPCError(jsonrpc="2.0", id=number, error=mt.ErrorData(code=code, message=words))
        with contextlib.suppress(anyio.BrokenResourceError):
            await self._outgoing.send(SessionMessage(error))


def _number(line: bytes) -> mt.RequestId | None:
    """The id of a request. It is written first or last: one that was cut still has it, mostly."""
    for part, partial in ((line[:KEPT], True), (line, False)):
        with contextlib.suppress(ValueError):
            match from_json(part, allow_partial=partial):
                case {"method": str(), "id": str() | int() as number} if not isinstance(number, bool):
                    return number
    return None
