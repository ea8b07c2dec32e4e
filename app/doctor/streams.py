"""What gets through to the server and back: long heads and bodies, the first byte, a stream that is idle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from app.doctor import dashboard
from app.doctor.checks import Verdict, fine, unasked, wrong
from app.tunnel.answers import Answer, Unreached, who

SLOW = 5.0  # seconds to a first byte, after which people wonder
LONGEST_GAP = 60.0  # seconds; the edge cuts at 120 without a byte, other proxies at 60
HEAD_BYTES = 15_000  # a cookie and an assertion with custom claims, twice
BODY_BYTES = 1024 * 1024  # the longest text of a note
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "brain-doctor", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
LISTING = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}).encode()
LISTING_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/list",
}


@dataclass(frozen=True, slots=True)
class Streamed:
    """A stream that was listened to. `first`: seconds to its first byte; `gap`: the longest without one."""

    status: int
    is_stream: bool
    first: float | None
    gap: float
    seconds: float
    broke_off: bool


def padded() -> bytes:
    """A listing as long as the longest note: JSON does not mind the blanks."""
    return LISTING + b" " * (BODY_BYTES - len(LISTING))


def limits(head: Answer | Unreached, body: Answer | Unreached) -> Verdict:
    """`head`: what a request with a long head got, `body`: one with a long body."""
    for answer, what, size in ((head, "head", HEAD_BYTES), (body, "body", BODY_BYTES)):
        if isinstance(answer, Unreached):
            return wrong(f"a {what} of {size:,} bytes: {answer.in_short()}", _smaller(what))
        if (answer.status != 200 and who(answer) != "the tunnel door") or answer.status in (
            400,
            413,
            414,
            431,
        ):
            return wrong(
                f"a {what} of {size:,} bytes gets {answer.in_short()} from {who(answer)}", _smaller(what)
            )
    return fine(f"heads of {HEAD_BYTES:,} and bodies of {BODY_BYTES:,} bytes get through")


def _smaller(what: str) -> str:
    if what == "head":
        return f"take custom claims out of the assertion: {dashboard.IDENTITY_PROVIDERS}"
    return "see Network → Maximum Upload Size of the domain, and that no other proxy is on the way"


def answered(answer: Answer, token: str) -> Verdict:
    """A real listing, by the public name, as the service token `token`."""
    document = answer.document
    if who(answer) == "Access":
        return wrong(
            f"Access does not take service token {token}: {answer.in_short()}",
            f"brain tunnel service-token rotate {token}; a rule of the policy must name it",
        )
    if answer.status != 200 or not isinstance(document, Mapping) or "result" not in document:
        return wrong(f"tools/list gets {answer.in_short()} from {who(answer)}", "see why: brain audit tail")
    if answer.seconds > SLOW:
        return wrong(
            f"the first byte of tools/list came after {answer.seconds:.1f} s",
            "see the load of this machine, and that nothing on the way buffers",
        )
    return fine(f"{len(document['result'].get('tools', []))} tools, in less than {SLOW:.0f} s")


def stream(told: Streamed | Unreached, wanted: float) -> Verdict:
    """A stream that was to be idle for `wanted` seconds."""
    if isinstance(told, Unreached):
        return wrong(told.in_short(), "see the checks above")
    if told.status == 405 or (told.status == 200 and not told.is_stream):
        return unasked("the server has no stream of its own: every answer is one JSON document")
    if told.status != 200:
        return wrong(f"the stream is refused: HTTP {told.status}", "see the check `listing`")
    if told.first is None or told.first > SLOW:
        late = "not at all" if told.first is None else f"after {told.first:.1f} s"
        return wrong(
            f"its first byte came {late}: something on the way buffers",
            "no compression and no disableChunkedEncoding on the way: brain tunnel apply",
        )
    if told.broke_off:
        return wrong(
            f"it broke off after {told.seconds:.0f} s, the longest silence was {told.gap:.0f} s",
            "a heartbeat must come every 15 s: update the server; and see for other proxies on the way",
        )
    if told.gap > LONGEST_GAP:
        return wrong(
            f"{told.gap:.0f} s passed without a byte", "a heartbeat must come every 15 s: update the server"
        )
    return fine(
        f"first byte after {told.first:.1f} s, idle for {wanted:.0f} s, never silent for {LONGEST_GAP:.0f} s"
    )
