"""The whole stand-in Cloudflare: what is set up over its API is at once what its edge does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.simulator.api import Account, ApiToken, Serving, serving
from app.simulator.application import Application
from app.simulator.keys import SigningKey
from app.simulator.policies import policy
from app.simulator.team import Person, ServiceToken, Team
from app.simulator.world import World, open_world


class AccountTenant:
    """The account of the API as the edge sees it (`Tenant`)."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.account_tag = account.account_tag
        self.zone = account.zone

    def resolves(self, host: str) -> bool:
        return self._account.resolves(host)

    def tunnel_of(self, host: str) -> str | None:
        return self._account.tunnel_of(host)

    def secret_of(self, tunnel_id: str) -> str | None:
        return self._account.secret_of(tunnel_id)

    def configuration_of(self, tunnel_id: str) -> tuple[int, Mapping[str, Any]] | None:
        return self._account.configuration_of(tunnel_id)

    def applications(self) -> list[Application]:
        found = self._account.apps.all()
        return [self._application(wire) for wire in found if wire["type"] == "self_hosted"]

    def _application(self, wire: Mapping[str, Any]) -> Application:
        places = [place["uri"] for place in wire["destinations"] if place.get("type") == "public"]
        policies = self._account.policies_of(wire["id"])
        organization = self._account.organization or {}
        oauth = wire.get("oauth_configuration") or {}
        clients = oauth.get("dynamic_client_registration") or {}
        return Application(
            origin="",
            name=wire["name"],
            aud=wire["aud"],
            domains=tuple(dict.fromkeys([wire["domain"], *places])),
            policies=tuple(policy(each["decision"], each) for each in policies),
            service_auth_401_redirect=bool(wire.get("service_auth_401_redirect")),
            strict_service_token_auth=bool(organization.get("strict_service_token_auth")),
            options_preflight_bypass=bool(wire.get("options_preflight_bypass")),
            managed_oauth=bool(oauth.get("enabled")),
            redirects=tuple(clients.get("allowed_uris") or ()) if clients.get("enabled") else (),
            redirects_on_this_machine=bool(
                clients.get("allow_any_on_localhost") and clients.get("allow_any_on_loopback")
            ),
        )


class AccountTeam(Team):
    """A team whose service tokens are those of the account."""

    def __init__(
        self,
        account: Account,
        people: Iterable[Person],
        keys: tuple[SigningKey, SigningKey] | None = None,
    ) -> None:
        domain: str = (account.organization or {})["auth_domain"]
        team = domain.removesuffix(".cloudflareaccess.com")
        super().__init__(team, now=account.now, people=people, keys=keys)
        self._account = account

    def service_of(self, client_id: str, client_secret: str) -> ServiceToken | None:
        found = self._account.service_token(client_id, client_secret)
        return ServiceToken(found["name"], client_id, client_secret, found["id"]) if found else None


@dataclass
class Cloudflare:
    """`token` is an API token with every permission that a tunnel needs."""

    account: Account
    api: Serving
    world: World
    token: str

    def environment(self) -> dict[str, str]:
        """With this a Brain, and the cloudflared that it starts, take all this for the internet."""
        return {
            "CLOUDFLARE_API_BASE": self.api.url,
            "CLOUDFLARE_API_TOKEN": self.token,
            "CLOUDFLARE_ACCOUNT_ID": self.account.id,
            **self.world.environment(),
        }


@asynccontextmanager
async def open_cloudflare(
    folder: Path,
    *,
    now: Callable[[], float],
    team: str = "acme",
    zone: str = "example.com",
    people: Iterable[Person] = (),
    api_port: int = 0,
) -> AsyncIterator[Cloudflare]:
    """An account with a team, a one-time PIN login and a zone, on loopback, until the block ends."""
    account = Account(now=now, team=team, zones=(zone,))
    account.identity_providers.put({"id": account.new_uuid(), "name": "", "type": "onetimepin", "config": {}})
    token = account.issue(ApiToken())
    tenant = AccountTenant(account)
    async with (
        serving(account, port=api_port) as api,
        open_world(AccountTeam(account, people), tenant, folder, at=now()) as world,
    ):
        _report_connections(account, world)
        yield Cloudflare(account, api, world, token)


def _report_connections(account: Account, world: World) -> None:
    """The API tells who is connected; cleaning that up over the API ends the connections."""
    tunnels = world.tunnels
    opened: dict[str, str] = {}

    def came_or_went(tunnel_id: str) -> None:
        account.connections[tunnel_id] = [
            {
                "id": each.id,
                "uuid": each.id,
                "colo_name": each.location,
                "is_pending_reconnect": each.draining,
                "client_id": each.connector_id,
                "client_version": each.version,
                "origin_ip": "127.0.0.1",
                "opened_at": opened.setdefault(each.id, account.timestamp()),
            }
            for each in (connected.registration for connected in tunnels.connections(tunnel_id))
        ]

    def changed(tunnel_id: str) -> None:
        if tunnel_id not in account.connections:
            for each in tunnels.connections(tunnel_id):
                each.cut()

    tunnels.watchers.append(came_or_went)
    account.watchers.append(changed)
