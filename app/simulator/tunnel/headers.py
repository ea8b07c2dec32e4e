"""HTTP/1 headers as cloudflared packs them into HTTP/2, and requests as it wants them."""

from __future__ import annotations

import base64
import binascii
import json

from app.simulator.tunnel.stream import Headers, StreamFailed

PACKED, META = b"cf-cloudflared-response-headers", b"cf-cloudflared-response-meta"
NOT_IN_HTTP2 = frozenset((b"connection", b"host", b"keep-alive", b"transfer-encoding", b"upgrade"))


def request_head(method: str, target: bytes, headers: Headers) -> Headers:
    """An HTTP/1 request as HTTP/2: the Host becomes the authority, names are lower case."""
    host = next((value for name, value in headers if name.lower() == b"host"), b"")
    rest = [(name.lower(), value) for name, value in headers if name.lower() not in NOT_IN_HTTP2]
    return [
        (b":method", method.encode()),
        (b":scheme", b"https"),
        (b":authority", host),
        (b":path", target),
        *rest,
    ]


def response_head(head: Headers) -> tuple[int, Headers]:
    """Status and headers of the origin. Raises StreamFailed where cloudflared answered in its place."""
    fields = dict(head)
    meta = json.loads(fields.get(META, b"{}"))
    if meta.get("src") != "origin":
        raise StreamFailed(f"cloudflared answered by itself with {fields[b':status'].decode()}")
    return int(fields[b":status"]), unpacked(fields.get(PACKED, b""))


def unpacked(packed: bytes) -> Headers:
    """`b64(name):b64(value)` joined by `;`, in base64 without padding; repeated names are repeated."""
    headers = []
    for pair in filter(None, packed.split(b";")):
        name, colon, value = pair.partition(b":")
        if not colon:
            raise StreamFailed("the response's headers cannot be read")
        headers.append((_decoded(name).lower(), _decoded(value)))
    return headers


def packed(headers: Headers) -> bytes:
    """The inverse of `unpacked`, as cloudflared does it."""
    pairs = (b":".join(base64.b64encode(part).rstrip(b"=") for part in pair) for pair in headers)
    return b";".join(pairs)


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise StreamFailed("the response's headers cannot be read") from None
