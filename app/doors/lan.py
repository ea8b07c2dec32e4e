"""The LAN door: no login, and therefore nobody in who is not on the LAN and meant this very server.

A web page in a browser on the LAN is stopped by Host and Origin (DNS rebinding), a tunnel or proxy that
points here by the headers that only an edge or a proxy adds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from app.audit.events import Event, Report
from app.doors.http import (
    SECRETS,
    App,
    BadOrigin,
    Host,
    LetIn,
    Misrouted,
    PeerRefused,
    Receive,
    Scope,
    Send,
    WrongHost,
    access_token,
    check_length,
    check_path,
    let_in,
    read_host,
    read_origin,
    refuse,
    shown,
)
from app.doors.rates import Attempts, LimitedAgain, peer
from app.errors import AppError
from app.principal import LAN
from app.settings.values import Network

_EDGE = (b"cf-", b"cdn-loop")
_PROXY = (b"x-forwarded-", b"forwarded")


class LanDoor:
    """ASGI. `networks`: peers; `proxies`: peers whose forwarding headers are tolerated, never believed."""

    def __init__(
        self,
        app: App,
        *,
        networks: Collection[Network],
        proxies: Collection[Network],
        hosts: Collection[str],
        attempts: Attempts,
        new_id: Callable[[], str],
        report: Report,
        count: Report,
    ) -> None:
        self._app, self._networks, self._proxies = app, networks, proxies
        self._hosts, self._new_id = frozenset(hosts), new_id
        self._attempts, self._report, self._count = attempts, report, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = self._new_id()
        try:
            headers = self._check(scope)
        except AppError as error:
            # Only what is refused anyway: a good request is as cheap to see as a bad one.
            refused = self._attempts.counted(peer(scope), error)
            tell = self._count if isinstance(refused, LimitedAgain) else self._report
            tell(_refusal(scope, request_id, refused))
            await refuse(send, refused, request_id, head=scope["method"] == "HEAD")
            return
        user = LetIn(LAN, access_token(LAN), request_id, "")
        await let_in(self._app, scope, receive, send, user, headers)

    def _check(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """The headers that go on. Raises the refusal."""
        check_path(scope)
        by_name: dict[bytes, list[bytes]] = {}
        kept: list[tuple[bytes, bytes]] = []
        for name, value in scope["headers"]:
            trimmed = value.strip(b" \t")
            by_name.setdefault(name, []).append(trimmed)
            if name not in SECRETS:
                kept.append((name, trimmed))
        self._check_peer(scope, by_name)
        here = scope["server"][0] if scope.get("server") else ""
        self._check_host(read_host(by_name.get(b"host", [])), here)
        self._check_origin(read_origin(by_name.get(b"origin", [])), here)
        check_length(next(iter(by_name.get(b"content-length", [])), None))
        return kept

    def _check_peer(self, scope: Scope, by_name: Collection[bytes]) -> None:
        client = scope.get("client")
        address = _address(client[0]) if client else None
        proxy = address is not None and any(address in network for network in self._proxies)
        suspects = _EDGE if proxy else _EDGE + _PROXY
        for name in by_name:
            if name.replace(b"_", b"-").startswith(suspects):
                raise Misrouted(
                    "This is the LAN door, and the request came through a tunnel or a proxy. "
                    "Point the tunnel at the tunnel door (TUNNEL_DOOR); "
                    "name a reverse proxy of your own in LAN_PROXIES.",
                    detail=f"header {name.decode('latin-1')}",
                )
        if address is None or not any(address in network for network in self._networks):
            raise PeerRefused(
                "This address is not on the LAN. The operator can add its network to LAN_NETWORKS.",
                detail=f"peer {address}",
            )

    def _check_host(self, host: Host, here: str) -> None:
        if not self._is_ours(host.name, here):
            raise WrongHost(
                f"This server does not go by the name {host.name}. "
                f"If it should, the operator adds it: LAN_HOSTS={host.name}",
                detail=f"host {host.name}",
            )

    def _check_origin(self, origin: tuple[str, Host] | None, here: str) -> None:
        if origin is not None and not self._is_ours(origin[1].name, here):
            raise BadOrigin(
                "Requests from this web origin are not accepted.", detail=f"origin {origin[1].name}"
            )

    def _is_ours(self, name: str, here: str) -> bool:
        """An allowed name, or the very address that the peer connected to: rebinding needs a name."""
        if name in self._hosts:
            return True
        address = _address(name)
        return address is not None and address == _address(here)


@lru_cache(maxsize=1024)
def _address(text: str) -> object | None:
    """An address; IPv4 in IPv6 clothes is IPv4, a zone id is dropped."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _refusal(scope: Scope, request_id: str, refused: AppError) -> Event:
    return Event(
        door="lan",
        operation="door",
        name=shown(scope),
        decision="refuse",
        request_id=request_id,
        reason=f"{refused.code} {refused.detail}".strip(),
        status=refused.status,
    )
