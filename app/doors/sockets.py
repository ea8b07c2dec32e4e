"""Where a door stands: a bound TCP or unix socket."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from app.errors import AppError
from app.settings.values import Tcp, Unix


class CannotListen(AppError):
    code = "cannot_listen"


def listen(where: Tcp | Unix) -> socket.socket:
    """A bound socket. Raises CannotListen with what to do."""
    if isinstance(where, Unix):
        return _listen_unix(where.path)
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle on
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((where.host, where.port))
    except OSError as problem:
        bound.close()
        raise CannotListen(
            f"Cannot listen on {where}: {problem.strerror or problem}. "
            "Another server may be running there; stop it or choose another port (MCP_PORT, TUNNEL_DOOR)."
        ) from None
    return bound


def _listen_unix(path: Path) -> socket.socket:
    """A left-over file of a server that is gone is replaced; one that is in use is not."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
            if path.is_socket() and probe.connect_ex(str(path)) != 0:
                path.unlink()
        bound.bind(str(path))
        path.chmod(0o660)
    except OSError as problem:
        bound.close()
        raise CannotListen(
            f"Cannot listen on unix:{path}: {problem.strerror or problem}. "
            "Another server may be running there; stop it or choose another path (TUNNEL_DOOR)."
        ) from None
    return bound
