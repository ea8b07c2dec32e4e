"""Which headers pass the edge, which it adds, and which answers it holds back until they are complete."""

from __future__ import annotations

import httpx2

from app.simulator.admission import Admitted
from app.simulator.application import Application

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
EDGE_OWNS = frozenset(  # whatever a client says here is replaced
    (
        b"cf-connecting-ip",
        b"cf-ray",
        b"cf-ipcountry",
        b"cf-visitor",
        b"cf-warp-tag-id",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"cdn-loop",
        b"host",
        b"cookie",
    )
)
CLOUDFLARED_FLUSHES = ("text/event-stream", "application/grpc", "application/x-ndjson")
CLOUDFLARED_DROPS = (b"cf-int-", b"cf-cloudflared-", b"cf-proxy-")


def request_headers(
    sent: Headers,
    application: Application,
    admitted: Admitted | None,
    *,
    ray: str,
    client: str,
    country: str,
    connector: str,
) -> Headers:
    """What the origin gets. Under a Bypass policy (`admitted` is None) nobody looks at `Cf-Access-*`."""
    sent = [(name, value.strip(b" \t")) for name, value in sent]  # RFC 9110 §5.5: no part of the value
    strip = admitted is not None and application.strip_access_headers
    kept = [(name, value) for name, value in sent if not _removed(name, strip_access=strip)]
    if admitted is not None and admitted.by_bearer:
        kept = [(name, value) for name, value in kept if name != b"authorization"]
    values = {name: [value for key, value in sent if key == name] for name in EDGE_OWNS}
    chain = b", ".join([*values[b"x-forwarded-for"], client.encode()])
    added = [
        (b"host", application.host.encode()),
        (b"cf-connecting-ip", client.encode()),
        (b"x-forwarded-for", chain),
        (b"x-forwarded-proto", b"https"),
        (b"cf-ray", ray.encode()),
        (b"cf-ipcountry", country.encode()),
        (b"cf-visitor", b'{"scheme":"https"}'),
        (b"cdn-loop", b", ".join([*values[b"cdn-loop"], b"cloudflare; loops=1"])),
    ]
    if connector:
        added.append((b"cf-warp-tag-id", connector.encode()))
    if values[b"cookie"]:
        added.append((b"cookie", b"; ".join(values[b"cookie"])))
    return [*added, *kept, *_identity(admitted)]


def response_headers(sent: Headers) -> Headers:
    """What the client gets of the origin's headers."""
    return [
        (name, value)
        for name, value in sent
        if name.lower() not in HOP_BY_HOP | {b"server"} and not name.lower().startswith(CLOUDFLARED_DROPS)
    ]


def buffered(headers: httpx2.Headers) -> bool:
    """Whether cloudflared keeps this answer until its end: a known length, and no type that it flushes."""
    streams = headers.get("content-type", "").lower().startswith(CLOUDFLARED_FLUSHES)
    return "content-length" in headers and not streams


def _removed(name: bytes, *, strip_access: bool) -> bool:
    if name in EDGE_OWNS or name.startswith(b"cf-cloudflared-"):
        return True
    if name in HOP_BY_HOP and name != b"transfer-encoding":  # that one tells httpx2 how to frame the body
        return True
    return strip_access and name.startswith(b"cf-access-")


def _identity(admitted: Admitted | None) -> Headers:
    if admitted is None:
        return []
    assertion = [(b"cf-access-jwt-assertion", admitted.assertion.encode())]
    if admitted.email is None:
        return assertion
    return [*assertion, (b"cf-access-authenticated-user-email", admitted.email.encode())]
