"""`brain ready`: whether the server of these settings can work, or lets nobody in who brings nothing.

For a health check and for the moment before a connector is started.
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx2

from app.errors import AppError
from app.settings import Settings, base
from app.settings.values import Tcp, Unix

PAUSE = 0.2  # seconds between two tries
TOO_MANY = 429


class NotReady(AppError):
    """It may be in a moment."""

    code = "not_ready"


class NotClosed(AppError):
    """Waiting does not help."""

    code = "not_closed"


def register(nouns: Any) -> None:
    parser = nouns.add_parser("ready", help="whether the server answers and its database works")
    parser.add_argument(
        "--closed", action="store_true", help="ask the tunnel door instead: it must refuse whoever is nobody"
    )
    parser.add_argument(
        "--or-off", action="store_true", help="with --closed: content, too, when the tunnel door is off"
    )
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="how long to try")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    ask = partial(_closed, or_off=args.or_off) if args.closed else _ready
    try:
        sentence, fine = _until(ask, settings, time.monotonic() + args.wait), True
    except (NotReady, NotClosed) as problem:
        sentence, fine = problem.public, False
    print(json.dumps({"ok": fine, "said": sentence}) if args.json else sentence)
    return 0 if fine else 1


def _until(ask: Callable[[Settings], str], settings: Settings, deadline: float) -> str:
    while True:
        try:
            return ask(settings)
        except NotReady:
            if time.monotonic() >= deadline:
                raise
            time.sleep(PAUSE)


def _ready(settings: Settings) -> str:
    """Raises NotReady."""
    if settings.transport == "stdio":
        raise AppError("MCP_TRANSPORT is stdio: there is no door to ask. Set it to http.")
    door = settings.lan_door
    answer = _ask(door, "GET", "/readyz")
    if answer.status_code != 200:
        raise NotReady(f"The LAN door at {door} answers {answer.status_code}: {answer.text[:200]}")
    return f"Ready: the LAN door at {door} answers, and the database works."


def _closed(settings: Settings, *, or_off: bool) -> str:
    """Raises NotReady while nothing answers or nothing is proven, NotClosed when somebody could come in."""
    door = settings.tunnel_door
    if door is None:
        if or_off:
            return "The tunnel door is off (CF_ACCESS_TEAM is not set): there is no way in."
        raise NotClosed(
            "The tunnel door is off (CF_ACCESS_TEAM is not set): a connector would lead nowhere. "
            "Start none, or set CF_ACCESS_TEAM and CF_ACCESS_AUD and restart the server."
        )
    from app.cli.database import clock  # neither for a health check: it is asked often
    from app.tunnel.proof import attempts

    stranger = "nobody@example.com"
    for attempt in attempts(
        ("/",), team=settings.access_team, aud=min(settings.access_aud), email=stranger, now=clock()
    ):
        headers = {"Host": base(settings).netloc, **attempt.headers}
        answer = _ask(door, attempt.method, attempt.path, headers=headers, content=attempt.body)
        _must_refuse(door, attempt.name, answer)
    return f"Closed: the tunnel door at {door} refuses strangers, whatever they make up."


def _must_refuse(door: Tcp | Unix, brings: str, response: httpx2.Response) -> None:
    """By what our own door says in words: whatever else listens there may say 401, too."""
    from app.tunnel.answers import Answer
    from app.tunnel.refusals import refused_by_door, shut_by_door

    headers = {name.lower(): value for name, value in response.headers.items()}
    answer = Answer(response.status_code, headers, response.content)
    if refused_by_door(answer) or shut_by_door(answer):
        return
    if answer.status == TOO_MANY:
        raise NotReady(
            f"The tunnel door at {door} answers 429, which it does before it looks at anybody: nothing is "
            "proven. Start no connector. Ask again in a minute."
        )
    raise NotClosed(
        f"The tunnel door at {door} answers {answer.in_short()} to a stranger with {brings}; it must refuse, "
        "in the Brain's own words. Start no connector. Check TUNNEL_DOOR, and what else listens there."
    )


def _ask(door: Tcp | Unix, method: str, path: str, **parts: Any) -> httpx2.Response:
    """Raises NotReady when nothing answers."""
    try:
        url, way = _way(door)
        with httpx2.Client(transport=way, trust_env=False, timeout=4) as http:
            return http.request(method, url + path, **parts)
    except (httpx2.TransportError, OSError) as problem:
        raise NotReady(f"Nothing answers at {door} ({problem}). Is `brain serve` running?") from None


def _way(door: Tcp | Unix) -> tuple[str, httpx2.HTTPTransport]:
    """By address, never by name: the LAN door accepts the address that is called, whatever LAN_HOSTS says."""
    if isinstance(door, Unix):
        return "http://tunnel-door", httpx2.HTTPTransport(uds=str(door.path))
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(door.host, door.host)  # noqa: S104
    family = socket.AF_INET6 if ":" in host else socket.AF_INET  # as the door listens
    address = socket.getaddrinfo(host, door.port, family, socket.SOCK_STREAM)[0][4][0]
    return f"http://{Tcp(str(address), door.port)}", httpx2.HTTPTransport()
