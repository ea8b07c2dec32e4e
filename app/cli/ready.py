"""`brain ready`: whether the server of these settings can work, or lets nobody in who brings nothing.

For a health check and for the moment before a connector is started.
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx2

from app.errors import AppError
from app.settings import Settings, base
from app.settings.values import Tcp, Unix

PAUSE = 0.2  # seconds between two tries
NO_KEYS = 503  # our own door lets nobody in while it has no signing keys to verify anybody with


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
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="how long to try")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    ask = _closed if args.closed else _ready
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


def _closed(settings: Settings) -> str:
    """Raises NotReady while nothing answers, NotClosed when somebody could come in."""
    door = settings.tunnel_door
    if door is None:
        return "Closed: the tunnel door is off (CF_ACCESS_TEAM is not set)."
    from app.cli.database import clock  # neither for a health check: it is asked often
    from app.tunnel.proof import REFUSALS, attempts

    stranger = "nobody@example.com"
    for attempt in attempts(
        ("/",), team=settings.access_team, aud=min(settings.access_aud), email=stranger, now=clock()
    ):
        headers = {"Host": base(settings).netloc, **attempt.headers}
        status = _ask(door, attempt.method, attempt.path, headers=headers, content=attempt.body).status_code
        if status not in REFUSALS and status != NO_KEYS:
            raise NotClosed(
                f"The tunnel door at {door} answers {status} to a stranger with {attempt.name}; "
                "it must refuse. Start no connector. Check TUNNEL_DOOR, and what else listens there."
            )
    return f"Closed: the tunnel door at {door} refuses strangers, whatever they make up."


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
