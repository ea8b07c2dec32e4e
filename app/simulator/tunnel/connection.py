"""One connection of a cloudflared: HTTP/2 in which the side that accepted it sends the requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Encoder

from app.simulator.tunnel.stream import Headers, Stream, StreamFailed

READ_BYTES = 65536
HEADER_BYTES = 1024 * 1024
WINDOW_BYTES = 16 * 1024 * 1024
STREAM_WINDOW_BYTES = 1024 * 1024


class PlainEncoder(Encoder):
    """Huffman coding in Python takes seconds for a large header."""

    def encode(self, headers: Iterable[object], huffman: bool = False) -> bytes:
        return super().encode(headers, huffman=False)  # type: ignore[arg-type]


class Connection:
    """`run()` reads until the other side is gone. Everything else may be called meanwhile."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._streams: dict[int, Stream] = {}
        self._room = asyncio.Event()
        self._finishing = False
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.encoder = PlainEncoder()
        self._h2.decoder.max_header_list_size = HEADER_BYTES
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.MAX_HEADER_LIST_SIZE: HEADER_BYTES,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )

    def start(self) -> None:
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW_BYTES)
        self._flush()

    async def run(self) -> None:
        try:
            while data := await self._reader.read(READ_BYTES):
                for event in self._h2.receive_data(data):
                    self._take(event)
                self._flush()
                self._end_if_idle()
        except (OSError, ProtocolError):
            pass  # whatever it was, the connection is of no more use
        finally:
            self.close()

    def close(self) -> None:
        for stream in self._streams.values():
            stream.failed("the connection is gone")
        self._streams.clear()
        self._room.set()
        self._writer.close()

    def finish(self) -> None:
        """End with the last answer that is still on its way."""
        self._finishing = True
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._finishing and not self._streams:
            self.close()

    # Sending

    def request(self, headers: Headers, *, has_body: bool) -> Stream:
        """Begin a request. Raises StreamFailed where the connection takes none any more."""
        try:
            number = self._h2.get_next_available_stream_id()
            self._h2.send_headers(number, headers, end_stream=not has_body)
        except ProtocolError as problem:
            raise StreamFailed(str(problem)) from None
        stream = Stream(number, lambda size: self._credit(size, number))
        self._streams[number] = stream
        self._flush()
        return stream

    async def send(self, stream: Stream, data: bytes, *, end: bool = False) -> None:
        """Send a piece of a request's body as fast as flow control allows.

        Ends early, and without a word, where nobody wants the rest: the answer may be complete already.
        """
        rest = memoryview(data)
        try:
            while rest and not stream.over:
                room = min(
                    self._h2.local_flow_control_window(stream.number), self._h2.max_outbound_frame_size
                )
                if room <= 0:
                    self._room.clear()
                    await self._room.wait()
                    continue
                self._h2.send_data(stream.number, bytes(rest[:room]))
                rest = rest[room:]
                self._flush()
                await self._writer.drain()
            if end and not stream.over:
                self._h2.end_stream(stream.number)
                self._flush()
        except (OSError, ProtocolError):
            return

    def cancel(self, stream: Stream) -> None:
        """Tell cloudflared that nobody waits for this answer. Does nothing once it has ended."""
        if self._streams.pop(stream.number, None) is not None and not stream.over:
            with contextlib.suppress(ProtocolError):
                self._h2.reset_stream(stream.number, ErrorCodes.CANCEL)
            self._flush()
        stream.dropped()
        self._end_if_idle()

    # Receiving

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._room.set()
            case h2.events.ResponseReceived(stream_id=number, headers=headers):
                if stream := self._streams.get(number):
                    stream.began([(bytes(name), bytes(value)) for name, value in headers])
            case h2.events.DataReceived(stream_id=number, data=data, flow_controlled_length=size):
                if stream := self._streams.get(number):
                    stream.grew(data, size)
                else:
                    self._credit(size, number)
            case h2.events.StreamEnded(stream_id=number):
                if stream := self._streams.pop(number, None):
                    stream.ended()
            case h2.events.StreamReset(stream_id=number, error_code=code):
                self._room.set()
                if stream := self._streams.pop(number, None):
                    stream.failed(f"reset with code {int(code)}")
            case _:
                pass

    def _credit(self, size: int, number: int) -> None:
        try:
            self._h2.acknowledge_received_data(size, number)
        except ProtocolError:
            return
        self._flush()

    def _flush(self) -> None:
        if (data := self._h2.data_to_send()) and not self._writer.is_closing():
            self._writer.write(data)
