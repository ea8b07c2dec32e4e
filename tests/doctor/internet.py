"""The whole way but cloudflared: what `brain tunnel apply` made at the stand-in Cloudflare, from outside."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from app.doctor import provisioning
from app.doctor.checks import Check, Question
from app.doctor.outside import Outside, outside
from app.doctor.policy import rules
from app.doctor.web import Web
from app.policy.parse import parse
from app.provision.apply import apply
from app.provision.cloudflare import cloudflare
from app.provision.files import TunnelFiles
from app.provision.service_tokens import create
from app.provision.wanted import Intent
from app.settings import Settings
from app.simulator import Person, SigningKey
from app.simulator.api import Account, ApiToken, Serving, serving
from app.simulator.api.collection import Collection
from app.simulator.certificates import CertificateAuthority
from app.simulator.cloudflare import AccountTeam, AccountTenant
from app.simulator.proxy import NotInThisWorld, proxying
from app.simulator.public import PublicEdge
from app.simulator.server import LoopbackServer, listen
from app.tunnel.config import Topology
from tests.house import HOST, TEAM

from .cloud import Ways
from .world import Moving, World, world_of

ADDRESSES = ("104.16.132.229", "104.16.133.229")


@dataclass
class Internet:
    """`world` is this machine. A test spoils the account, the edge, or what the doctor is told."""

    world: World
    account: Account
    api: Serving
    edge: PublicEdge
    ways: Ways
    client: httpx2.AsyncClient
    files: TunnelFiles
    proxy: str
    addresses: Sequence[str] | None = ADDRESSES
    idle: float = 0.0

    async def checks(self) -> list[Check]:
        """As `brain doctor --outside`."""
        return [check async for check in self.world.asked(self._outside)]

    def change(self, kind: str, **fields: Any) -> None:
        """By hand, in the dashboard: the one object of this kind (`apps`, `tunnels` …) of the account."""
        collection = getattr(self.account, kind)
        collection.put({**self.one(kind), **fields})

    def one(self, kind: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = getattr(self.account, kind).all()
        (value,) = found
        return value

    @property
    def records(self) -> Collection:
        return self.account.zones["example.com"].records

    def configure(self, *rules: Mapping[str, Any], **config: Any) -> None:
        """Another configuration of the tunnel, by hand."""
        id = self.one("tunnels")["id"]
        kept = self.account.configurations[id]
        changed = {"ingress": [*rules, {"service": "http_status:404"}], **config}
        self.account.configurations[id] = {**kept, "version": kept["version"] + 1, "config": changed}

    def rule(self, **fields: Any) -> dict[str, Any]:
        """The rule of the tunnel as it was made, with other fields."""
        (kept,) = self.account.configurations.values()
        return {**kept["config"]["ingress"][0], **fields}

    def decision(self, policy_id: str) -> str:
        policy = self.account.policies.get(policy_id)
        assert policy is not None
        return str(policy["decision"])

    def permit(self, permissions: frozenset[str]) -> None:
        """What the API token may do from now on."""
        for token in self.account.tokens.values():
            token.permissions = permissions

    def remove_place(self, place: str) -> None:
        """Of the application that opens it."""
        for app in self.account.apps.all():
            left = [one for one in app["destinations"] if one["uri"] != place]
            if len(left) < len(app["destinations"]):
                self.account.apps.put({**app, "destinations": left, "domain": left[0]["uri"]})

    @contextlib.asynccontextmanager
    async def distrusting(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client to which the certificates of this internet mean nothing."""
        async with httpx2.AsyncClient(proxy=self.proxy, trust_env=False) as client:
            yield client

    def _outside(self, settings: Settings, here: Web) -> list[Question]:
        named = rules(settings.policy_file)
        token, credential = provisioning.credential(self.files)

        async def resolve(_host: str) -> Sequence[str] | None:
            return self.addresses

        look = provisioning.looks(settings, self.files, named)
        web, metrics = Web(self.client), [self.world.metrics]
        return outside(
            Outside(
                settings,
                web,
                here,
                self.world.now,
                named,
                token,
                credential,
                look,
                metrics,
                self.idle,
                resolve,
            )
        )


POLICY = """
version = 1

[[rule]]
name = "alice"
emails = ["alice@example.com"]
scopes = ["mcp:tools:write"]

[[rule]]
name = "doctor"
service_tokens = ["{client_id}"]
scopes = ["mcp:tools:read"]

[[case]]
as = "{client_id}"
tool = "create_note"
expect = "deny"
"""


@contextlib.asynccontextmanager
async def open_internet(
    folder: Path, keys: tuple[SigningKey, SigningKey], *, oauth: bool = False
) -> AsyncIterator[Internet]:
    """As `brain tunnel up` leaves it, in topology `access` or `oauth`."""
    (folder / "data").mkdir(mode=0o700)
    clock, files = Moving(), TunnelFiles(folder / "data" / "tunnel")
    account = Account(now=clock, team=TEAM)
    token = account.issue(ApiToken())
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(serving(account))
        calls = await stack.enter_async_context(cloudflare(token, base=api.url, patience=5))
        await create(calls, files, "doctor", hostname=HOST)
        secret = json.loads(files.service_token_file("doctor").read_bytes())
        policy = POLICY.format(client_id=secret["client_id"])
        named = parse(policy.encode()).rules
        topology: Topology = "oauth" if oauth else "access"
        # The AUD tag must be known before the server starts, and the door's port is known after.
        made = await apply(calls, files, Intent(HOST, "http://127.0.0.1:1", topology, named))
        team = AccountTeam(account, [Person("alice@example.com", "Alice")], keys)
        (team.aud,) = made.state.auds
        world = await stack.enter_async_context(
            world_of(folder, team, policy, OAUTH_ENABLED=str(oauth).lower())
        )
        world.variables |= {"CLOUDFLARE_API_TOKEN": token, "CLOUDFLARE_API_BASE": api.url}
        await apply(calls, files, Intent(HOST, world.house.tunnel, topology, named))
        (made_tunnel,) = account.tunnels.all()
        account.connections[made_tunnel["id"]] = [connection(world.cloudflared.connector)]
        ways = Ways(account)
        stack.push_async_callback(ways.aclose)
        edge = PublicEdge(team, AccountTenant(account), ways)
        client, proxy = await stack.enter_async_context(_reachable(edge, account, team.domain))
        world.hidden[str(made_tunnel["id"])] = "TUNNEL_ID"
        world.hidden |= {account.id[:8]: "ACCOUNT", team.aud: "AUD", team.aud[:8]: "AUD", api.url: "API"}
        yield Internet(world, account, api, edge, ways, client, files, proxy)


def connection(connector: str, address: str = "203.0.113.7") -> dict[str, str]:
    """One of a connector's, as the API lists them."""
    return {"id": connector, "client_id": connector, "colo_name": "SIM", "origin_ip": address}


@contextlib.asynccontextmanager
async def _reachable(
    edge: PublicEdge, account: Account, team: str
) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """Somebody on the internet, who trusts the stand-in certificates; and the proxy into it."""
    authority, bound = CertificateAuthority(time.time()), listen("127.0.0.1", 0)
    place: tuple[str, int] = bound.getsockname()
    names = [team, account.zone, f"*.{account.zone}"]
    server = await LoopbackServer.start(edge, bound, tls=authority.server(names))

    def lookup(name: str) -> tuple[str, int] | None:
        if name != team and not name.endswith(f".{account.zone}"):
            raise NotInThisWorld
        return place if name == team or account.resolves(name) else None

    trusting = ssl.create_default_context(cadata=authority.pem)
    try:
        async with (
            proxying(lookup) as proxy,
            httpx2.AsyncClient(
                proxy=f"http://{proxy}", verify=trusting, trust_env=False, follow_redirects=False
            ) as client,
        ):
            yield client, f"http://{proxy}"
    finally:
        edge.close()
        await server.stop()
