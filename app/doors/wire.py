"""What is refused before there is a request to look at: HTTP that two hops could read differently."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 128 * 1024  # request line and headers; Cloudflare itself passes on no more


class BadHead(Exception):
    """Inside a parser callback: uvicorn answers 400 and closes the connection."""


class Http1(HttpToolsProtocol):
    """uvicorn's protocol; the doors see origin-form targets, bounded heads, and no trailers."""

    _head_open = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        was_open = self._head_open
        super().data_received(data)
        # The parser collects a header without an end by itself, and tells nobody how long it is.
        if was_open and self._head_open and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_open, self._head_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        # RFC 9112 §3.2: only a proxy is sent a target with an authority, and it would outrank Host.
        if not self.url.startswith(b"/") or b"#" in url:
            raise BadHead("the target is not a path")

    def on_header(self, name: bytes, value: bytes) -> None:
        # RFC 9110 §6.5.1: a trailer is never merged into the headers, a credential least of all.
        if self._head_open:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_open = False
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > MAX_HEAD:
            raise BadHead("the head is too large")
        super().on_headers_complete()
