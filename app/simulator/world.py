"""The stand-in internet on loopback: the proxy into it, the public edge, and the edge for cloudflared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.simulator.certificates import CertificateAuthority
from app.simulator.proxy import NotInThisWorld, proxying
from app.simulator.public import PublicEdge
from app.simulator.server import LoopbackServer, listen
from app.simulator.team import Team
from app.simulator.tenant import Tenant
from app.simulator.tunnel.acceptor import SERVER_NAME, Tunnels, accepting


@dataclass
class World:
    """`proxy` and `tunnels.address` are `host:port` on loopback, `root` is the file of the CA's root."""

    team: Team
    tenant: Tenant
    edge: PublicEdge
    tunnels: Tunnels
    proxy: str
    root: Path

    def environment(self) -> dict[str, str]:
        """With this a program, or a cloudflared, lives in this world."""
        return {
            "HTTPS_PROXY": f"http://{self.proxy}",
            "NO_PROXY": "127.0.0.1,localhost,::1",
            "SSL_CERT_FILE": str(self.root),
            "CURL_CA_BUNDLE": str(self.root),
            "NODE_EXTRA_CA_CERTS": str(self.root),
            "TUNNEL_EDGE": self.tunnels.address,
            "TUNNEL_CACERT": str(self.root),
            "TUNNEL_TRANSPORT_PROTOCOL": "http2",
            "TUNNEL_NO_PRECHECKS": "true",
        }


@asynccontextmanager
async def open_world(team: Team, tenant: Tenant, folder: Path, *, at: float) -> AsyncIterator[World]:
    """Run until the block ends. `at` is the time that certificates are made for; `folder` keeps the root.

    One at a time per event loop (see `accepting`).
    """
    authority = CertificateAuthority(at)
    root = folder / "stand-in-root.pem"
    root.write_text(authority.pem)
    # Universal SSL covers a zone and one label below it; a deeper name fails its handshake here too.
    names = [team.domain, tenant.zone, f"*.{tenant.zone}"]
    async with accepting(tenant, authority.server([SERVER_NAME])) as tunnels:
        edge = PublicEdge(team, tenant, tunnels)
        bound = listen("127.0.0.1", 0)
        place: tuple[str, int] = bound.getsockname()
        server = await LoopbackServer.start(edge, bound, tls=authority.server(names))

        def lookup(name: str) -> tuple[str, int] | None:
            if name == team.domain:
                return place
            if name != tenant.zone and not name.endswith(f".{tenant.zone}"):
                raise NotInThisWorld
            return place if tenant.resolves(name) else None

        try:
            async with proxying(lookup) as proxy:
                yield World(team, tenant, edge, tunnels, proxy, root)
        finally:
            team.certs.release()
            team.identities.release()
            edge.close()
            await server.stop()
