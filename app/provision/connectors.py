"""Who serves a tunnel: Cloudflare sends a request to any of its connectors."""

from __future__ import annotations

from collections.abc import Iterable, Set

from app.provision.found import Wire


def others(connections: Iterable[Wire], ours: Set[str]) -> tuple[str, ...]:
    """The connectors whose ids are not in `ours`, as `ID from ADDRESS`.

    `connections`: of the tunnel; one for each connector or for each connection, both are in use.
    """
    found = {id: one for one in connections if (id := _id(one))}
    return tuple(f"{id} from {_address(found[id])}" for id in sorted(found.keys() - ours))


def ids(connections: Iterable[Wire]) -> frozenset[str]:
    return frozenset(map(_id, connections)) - {""}


def _id(one: Wire) -> str:
    return str(one.get("client_id") or one.get("id") or "")


def _address(one: Wire) -> str:
    held = (one, *(one.get("conns") or ()))
    return next((str(part["origin_ip"]) for part in held if part.get("origin_ip")), "an address unknown")
