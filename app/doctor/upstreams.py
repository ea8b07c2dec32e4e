"""The other MCP servers behind the doors: as the file has them, and as the running server finds them."""

from __future__ import annotations

import re
from pathlib import Path

from app.doctor.checks import Verdict, fine, unasked, wrong
from app.doctor.doors import START
from app.doctor.web import Web
from app.tunnel.answers import Answer, Unreached
from app.upstreams.entries import UpstreamsInvalid
from app.upstreams.file import read_upstreams

_UP = re.compile(rb'^brain_upstream_up\{upstream="([a-z0-9-]+)"\} ([01])', re.MULTILINE)


async def upstreams(file: Path, lan_url: str, here: Web) -> Verdict:
    try:
        wanted = [entry.name for entry in read_upstreams(file).entries]
    except UpstreamsInvalid as invalid:
        return wrong(f"{file} cannot be used", invalid.problems[0], *invalid.problems[1:])
    answer = await here.ask("GET", f"{lan_url}/metrics")
    if isinstance(answer, Unreached):
        return wrong(answer.in_short(), START)
    if answer.status in (403, 421):
        return unasked("the LAN door does not let this machine itself in")
    return verdict(wanted, running(answer))


def running(answer: Answer) -> dict[str, bool]:
    """Whether each answers that the server knows of."""
    return {name.decode(): up == b"1" for name, up in _UP.findall(answer.body)}


def verdict(wanted: list[str], found: dict[str, bool]) -> Verdict:
    if set(wanted) != set(found):
        there, named = ", ".join(sorted(found)) or "none", ", ".join(sorted(wanted)) or "none"
        return wrong(
            f"the server runs with {there}, the file names {named}",
            "the server's log says why it did not take the file over; a restart reads it anew",
        )
    if down := sorted(name for name, up in found.items() if not up):
        return wrong(f"no answer: {', '.join(down)}", "brain upstreams says why; it is tried again by itself")
    if not wanted:
        return unasked("the upstreams file names none")
    return fine(f"{', '.join(sorted(found))}: all answer")
