"""What answers at an address where no MCP server is: in words for anybody, and what the operator does."""

from __future__ import annotations

import httpx2

from app.upstreams.entries import Transport
from app.upstreams.errors import UNREACHABLE, NoAnswer

MEDIA = {"http": ("application/json", "text/event-stream"), "sse": ("text/event-stream",)}
_PATH = "check the path of its `url`"
_SSE = f'{_PATH}, or say `transport = "sse"` if it speaks only legacy SSE'
_HTTP = f'{_PATH}, or say `transport = "http"` if it speaks streamable HTTP'


def not_mcp(url: httpx2.URL, answer: httpx2.Response, transport: Transport) -> NoAnswer | None:
    """Of the first answer at `url`, if it is no JSON-RPC error. None: it may be a server."""
    status, kind = answer.status_code, answer.headers.get("content-type", "").lower()
    if 300 <= status < 400:
        where = _leads_to(url, answer.headers.get("location", ""))
        return _no(f"it answers with a redirect (HTTP {status})", f"if it is at {where}, make that its `url`")
    if status >= 400:
        return _no(f"it answers HTTP {status}", _advice(status, transport))
    if kind.startswith("text/html"):
        return _no("it answers with a web page, not with MCP", _HTTP if transport == "sse" else _PATH)
    if not kind.startswith(MEDIA[transport]):
        return _no("it sends what is not MCP", _HTTP if transport == "sse" else _PATH)
    return None


def _no(why: str, advice: str) -> NoAnswer:
    return NoAnswer(code=UNREACHABLE, message=why, data=advice)


def _advice(status: int, transport: Transport) -> str:
    if transport == "sse":
        return _HTTP
    if status == 404:
        return f"{_PATH}: often /mcp, or /sse where only legacy SSE is spoken"
    return _SSE if status == 405 else _PATH


def _leads_to(url: httpx2.URL, location: str) -> str:
    """Without what may be a secret of somebody's."""
    if not location:
        return "another address"
    try:
        to = url.join(location).copy_with(query=None, fragment=None, userinfo=b"")
    except (httpx2.InvalidURL, ValueError):
        return "another address"
    return str(to).encode("ascii", "replace").decode()
