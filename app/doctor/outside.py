"""The checks by the public name, as somebody on the internet: each after what it rests on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from app.doctor import discovery, edge, programs, provisioning, streams, tunnel
from app.doctor.checks import Question, Verdict, fine, unasked
from app.doctor.clients import AGENTS, CLIENTS
from app.doctor.web import Web
from app.oauth.resource import resource_of
from app.policy.rules import Rule
from app.provision.cloudflare import CloudflareRefused
from app.settings import Settings, base
from app.settings.values import is_loopback
from app.tunnel.answers import Answer, Unreached
from app.tunnel.config import SIGNED_IN
from app.tunnel.exposed import exposed
from app.tunnel.proof import attempts
from app.tunnel.refusals import Refusal, judge

Resolve = Callable[[str], Awaitable[Sequence[str] | None]]

BROWSER = {"Accept": "text/html,application/xhtml+xml", "User-Agent": "Mozilla/5.0 (doctor)"}
NAME, CERTIFICATE, EDGE, APPLICATION = "public name", "edge certificate", "edge", "Access application"


async def addresses_of(host: str) -> Sequence[str] | None:
    """The addresses of `host`, or None where the proxy of this environment will look it up."""
    if "https" in getproxies() and not proxy_bypass(host):
        return None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(address[0]) for *_, address in found})


@dataclass
class Outside:
    """What the probes need and share: each URL is asked once, whoever wants to know.

    `web` asks as from outside, `here` on this machine. `rules`: of the policy. `token` and `credential`: name
    and headers of a service token. `look` reads Cloudflare's API. `metrics`: where a cloudflared may say how
    it is. `idle`: for how many seconds a stream is listened to.
    """

    settings: Settings
    web: Web
    here: Web
    now: Callable[[], float]
    rules: Sequence[Rule] = ()
    token: str = ""
    credential: Mapping[str, str] = field(default_factory=dict)
    look: provisioning.Look | None = None
    metrics: Sequence[str] = ()
    idle: float = 0.0
    resolve: Resolve = addresses_of
    seen: provisioning.Seen | None = None
    answers: dict[tuple[str, str], Answer | Unreached] = field(default_factory=dict)
    chains: list[discovery.Chain] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.settings.base_url

    @property
    def host(self) -> str:
        return base(self.settings).hostname or ""

    @property
    def path_behind_access(self) -> str:
        return "/authorize" if self.settings.oauth_enabled else "/mcp"

    async def ask(self, method: str, url: str) -> Answer | Unreached:
        """As an MCP client without a credential."""
        if (method, url) not in self.answers:
            content = programs.PLAIN if method == "POST" else None
            headers = programs.JSON if method == "POST" else {"Accept": "application/json"}
            self.answers[method, url] = await self.web.ask(method, url, headers=headers, content=content)
        return self.answers[method, url]

    async def public_name(self) -> Verdict:
        if is_loopback(self.host):
            return fine(f"{self.host} is this machine")
        return edge.public_name(self.host, await self.resolve(self.host))

    async def certificate(self) -> Verdict:
        return edge.certificate(await self.ask("POST", resource_of(self.url)), self.host, self.now())

    async def edge(self) -> Verdict:
        return edge.edge(await self.ask("POST", resource_of(self.url)), self.host)

    async def application(self) -> Verdict:
        path = self.path_behind_access
        answer = await self.web.ask("GET", self.url + path, headers=BROWSER)
        certs = urlsplit(self.settings.access_certs_url).netloc
        teams = (f"{self.settings.access_team}.cloudflareaccess.com", certs)
        return edge.application(answer, path, teams, self.settings.access_aud)

    async def closed(self) -> Verdict:
        known = sorted(email for rule in self.rules for email in rule.emails)
        team = self.settings.access_team
        answers: dict[str, tuple[Refusal, str]] = {}
        for attempt in attempts(
            SIGNED_IN,
            team=team,
            aud=min(self.settings.access_aud),
            email=known[0] if known else "nobody@example.com",
            now=self.now(),
        ):
            answer = await self.web.ask(
                attempt.method, self.url + attempt.path, headers=attempt.headers, content=attempt.body or None
            )
            answers[attempt.name] = (
                judge(answer, team=team, host=self.host, forged=attempt.forged)
                if isinstance(answer, Answer)
                else ("unreachable", answer.in_short())
            )
        return edge.closed(answers)

    async def unauthenticated(self) -> Verdict:
        resource = resource_of(self.url)
        answer, with_slash = await self.ask("POST", resource), await self.ask("POST", resource + "/")
        return edge.unauthenticated(answer, with_slash, oauth=self.settings.oauth_enabled)

    async def discovery(self) -> Verdict:
        resource = resource_of(self.url)
        self.chains = [await discovery.follow(client, resource, self.ask) for client in CLIENTS]
        if self.settings.oauth_enabled:
            self.chains.append(await discovery.alike(resource, self.ask))
        return discovery.in_one(self.chains, oauth=self.settings.oauth_enabled)

    async def registration(self) -> Verdict:
        server: Mapping[str, object] = next((chain.server for chain in self.chains if chain.server), {})
        endpoint = str(server.get("registration_endpoint", ""))
        if not endpoint:
            return unasked("the authorization server has no registration_endpoint")
        answers = {
            redirect: await self.web.ask(
                "POST", endpoint, headers=programs.JSON, content=programs.registration(redirect)
            )
            for client in CLIENTS
            for redirect in client.redirects
        }
        return programs.registrations(answers, oauth=self.settings.oauth_enabled)

    async def agents(self) -> Verdict:
        resource = resource_of(self.url)
        bodies = {agent: (agent, programs.PLAIN) for agent in AGENTS}
        bodies["an argument like SQL"] = (BROWSER["User-Agent"], programs.LIKE_SQL)
        answers = {
            sent: await self.web.ask(
                "POST", resource, headers={**programs.JSON, "User-Agent": agent}, content=content
            )
            for sent, (agent, content) in bodies.items()
        }
        return programs.agents(answers, self.host)

    async def listing(self) -> Verdict:
        if self.settings.oauth_enabled:
            return unasked("in topology oauth /mcp takes the tokens of people's clients alone")
        if not self.credential:
            return unasked("no service token is kept here: brain tunnel service-token create doctor")
        answer = await self._list(streams.LISTING, self.credential)
        way = edge.edge(answer, self.host)
        return streams.answered(answer, self.token) if isinstance(answer, Answer) and way.ok else way

    async def limits(self) -> Verdict:
        if not (self.credential or self.settings.oauth_enabled):
            return unasked("no service token is kept here, and without one Access answers first")
        long_head = {**self.credential, "X-Doctor": "x" * streams.HEAD_BYTES}
        return streams.limits(
            await self._list(streams.LISTING, long_head), await self._list(streams.padded(), self.credential)
        )

    async def stream(self) -> Verdict:
        if not self.idle:
            return unasked("it takes its time: --stream SECONDS, 130 to be past the 120 of the edge")
        told = await self.web.listen(resource_of(self.url), self.credential, self.idle)
        return streams.stream(told, self.idle)

    async def account(self) -> Verdict:
        if self.look is None:
            return unasked("CLOUDFLARE_API_TOKEN is not set")
        try:
            self.seen = await self.look()
        except CloudflareRefused as problem:
            return provisioning.refused(problem)
        return fine(f"it shows account {self.seen.found.account_id[:8]}…, domain {self.seen.found.zone}")

    async def connectors(self) -> Verdict:
        ready = await tunnel.ready(self.metrics, self.here)
        ours = frozenset(map(tunnel.connector_id, ready.values()))
        return provisioning.connectors(self._seen(), ours)

    async def ingress(self) -> Verdict:
        return provisioning.ingress(self._seen().found, exposed(self.settings), self.settings.lan_door.port)

    async def service_tokens(self) -> Verdict:
        named = frozenset(token for rule in self.rules for token in rule.service_tokens)
        return provisioning.service_tokens(self._seen().found, named, self.now())

    async def drift(self) -> Verdict:
        return provisioning.drift(self._seen())

    def _seen(self) -> provisioning.Seen:
        if self.seen is None:
            raise LookupError("asked before the account")
        return self.seen

    async def _list(self, content: bytes, headers: Mapping[str, str]) -> Answer | Unreached:
        sent = {**streams.LISTING_HEADERS, **headers}
        return await self.web.ask("POST", resource_of(self.url), headers=sent, content=content)


def outside(asks: Outside) -> list[Question]:
    """Without a tunnel door there is nothing outside."""
    settings = asks.settings
    if settings.tunnel_door is None:
        return [_question("outside", _no_tunnel)]
    return [
        _question(NAME, asks.public_name),
        _question(CERTIFICATE, asks.certificate, NAME),
        _question(EDGE, asks.edge, NAME, CERTIFICATE),
        _question(APPLICATION, asks.application, EDGE),
        _question("closed to strangers", asks.closed, EDGE),
        _question("user agents", asks.agents, EDGE),
        _question("first 401", asks.unauthenticated, EDGE if settings.oauth_enabled else APPLICATION),
        _question("discovery", asks.discovery, "first 401"),
        _question("registration", asks.registration, "discovery"),
        _question("listing", asks.listing, APPLICATION, "closed to strangers"),
        _question("limits", asks.limits, "first 401" if settings.oauth_enabled else "listing"),
        _question("stream", asks.stream, APPLICATION, "closed to strangers"),
        _question("Cloudflare API", asks.account),
        _question("connectors", asks.connectors, "Cloudflare API"),
        _question("ingress", asks.ingress, "Cloudflare API", "provisioned"),
        _question("service tokens", asks.service_tokens, "Cloudflare API"),
        _question("drift", asks.drift, "Cloudflare API", "policy"),
    ]


def _question(name: str, ask: Callable[[], Awaitable[Verdict]], *needs: str) -> Question:
    return Question(name, ask, needs, part="outside")


async def _no_tunnel() -> Verdict:
    return unasked("the tunnel door is off (CF_ACCESS_TEAM)")
