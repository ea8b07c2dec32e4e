"""What `brain tunnel` keeps of the Cloudflare side, and what the API says of it where there is a token."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.doctor import dashboard
from app.doctor.checks import Verdict, fine, unasked, wrong
from app.doctor.tunnel import START, linted
from app.policy.rules import Rule
from app.provision.cloudflare import Cloudflare, CloudflareRefused, PermissionMissing, cloudflare
from app.provision.connectors import ids, others
from app.provision.drift import Finding, findings
from app.provision.files import StateUnusable, TunnelFiles
from app.provision.found import Found, Wire
from app.provision.marks import unmarked
from app.provision.plan import Plan, plan
from app.provision.reading import read
from app.provision.state import State
from app.provision.wanted import Intent
from app.settings import Settings, base
from app.tunnel.config import Exposure
from app.tunnel.exposed import exposed

SOON_DAYS = 14


@dataclass(frozen=True, slots=True)
class Seen:
    """What the API says, read once. `connections`: of the tunnel, one for each connection of a connector."""

    found: Found
    planned: Plan
    drifted: tuple[Finding, ...]
    connections: tuple[Wire, ...]


Look = Callable[[], Awaitable[Seen]]


def kept(files: TunnelFiles, settings: Settings) -> Verdict:
    """The state of DATA_DIR/tunnel against the settings."""
    try:
        state = files.state()
    except StateUnusable as problem:
        evidence, _, advice = problem.public.partition(". ")
        return wrong(evidence, advice)
    return (
        unasked("brain tunnel has made nothing from here")
        if state is None
        else state_verdict(state, settings)
    )


def state_verdict(state: State, settings: Settings) -> Verdict:
    host, topology = base(settings).hostname, "oauth" if settings.oauth_enabled else "access"
    if state.hostname != host:
        return wrong(
            f"{state.hostname} was made, and BASE_URL is {settings.base_url}",
            f"BASE_URL=https://{state.hostname}; or brain tunnel down, and up again with the new name",
        )
    if state.team != settings.access_team:
        return wrong(
            f"the team is {state.team}, and CF_ACCESS_TEAM is {settings.access_team}",
            f"CF_ACCESS_TEAM={state.team}, then restart the server",
        )
    if missing := set(state.auds) - settings.access_aud:
        return wrong(
            f"CF_ACCESS_AUD does not name {min(missing)[:8]}…, the tag of the application that was made",
            f"CF_ACCESS_AUD={','.join(sorted(state.auds))}, then restart the server",
        )
    if state.topology != topology:
        return wrong(
            f"topology {state.topology} was made, and the settings say {topology}",
            "brain tunnel apply, then restart the server",
        )
    if state.pending:
        kind, name = state.pending
        return wrong(f"it stopped in the middle: {kind} {name}", "brain tunnel apply goes on from there")
    made = sum(len(ids) for ids in state.ids.values())
    return fine(f"{made} objects made for {state.hostname}, topology {state.topology}")


def credential(files: TunnelFiles) -> tuple[str, dict[str, str]]:
    """Name and headers of a service token that is kept here; empty without one."""
    for file in sorted((files.folder / "service-tokens").glob("*.json")):
        try:
            kept = json.loads(file.read_bytes())
            headers = {
                "CF-Access-Client-Id": kept["client_id"],
                "CF-Access-Client-Secret": kept["client_secret"],
            }
            return file.stem, headers
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return "", {}


def looks(settings: Settings, files: TunnelFiles, rules: Sequence[Rule]) -> Look | None:
    """Reads the API; None without a token for it."""
    if not settings.cloudflare_api_token or settings.tunnel_door is None:
        return None

    async def look_once() -> Seen:
        exposure = exposed(settings)
        intent = Intent(exposure.hostname, exposure.door, exposure.topology, tuple(rules))
        async with cloudflare(
            settings.cloudflare_api_token,
            account_id=settings.cloudflare_account_id,
            base=settings.cloudflare_api_base,
        ) as api:
            return await look(api, intent, files)

    return look_once


async def look(api: Cloudflare, intent: Intent, files: TunnelFiles) -> Seen:
    """Raises AppError: no zone, no team, a token that is not known or may not read."""
    state = files.state()
    if state is not None and state.without_waf:
        intent = replace(intent, waf=False)
    found = await read(api, intent.hostname, state)
    connections: list[Wire] = []
    for tunnel in found.ours("tunnel"):
        connections += await api.all(f"/cfd_tunnel/{tunnel['id']}/connections")
    planned = plan(intent, found)
    fresh = State(intent.hostname, found.account_id, found.zone_id, found.zone, found.team, intent.topology)
    return Seen(found, planned, findings(planned, found, state or fresh), tuple(connections))


def refused(problem: CloudflareRefused) -> Verdict:
    """Why the API did not tell."""
    if isinstance(problem, PermissionMissing):
        return wrong(
            f"CLOUDFLARE_API_TOKEN lacks {problem.permissions[0]}",
            f"add it to the token: {dashboard.API_TOKENS} → the token → Edit",
            *problem.permissions[1:],
        )
    evidence, _, advice = problem.public.partition(". ")
    return wrong(evidence, advice or f"see {dashboard.API_TOKENS}")


def drift(seen: Seen) -> Verdict:
    """What at Cloudflare is not as it should be: what `brain tunnel apply` would mend."""
    if seen.planned.conflicts:
        first, *others = seen.planned.conflicts
        evidence, _, advice = first.partition(". ")
        return wrong(evidence, advice or f"see {dashboard.APPLICATIONS}", *others)
    if seen.drifted:
        lines = map(str, seen.drifted)
        number = len(seen.drifted)
        what = "1 thing is not as it" if number == 1 else f"{number} things are not as they"
        return wrong(f"{what} should be", "brain tunnel apply", *lines)
    return fine("all is as the settings and the policy say", *seen.planned.notes)


def ingress(found: Found, exposure: Exposure, lan_port: int) -> Verdict:
    """What Cloudflare sends to the connector, linted as a file of one's own would be."""
    kept = found.ours("configuration")
    if not kept:
        return unasked("the tunnel has no configuration: see `drift`")
    return linted("the configuration at Cloudflare", kept[0]["config"], exposure, lan_port, remote=True)


def connectors(seen: Seen, ours: frozenset[str]) -> Verdict:
    """`ours`: the ids of the connectors that run here."""
    if not seen.found.ours("tunnel"):
        return unasked("there is no tunnel: see `drift`")
    there = ids(seen.connections)
    if not there:
        return wrong("Cloudflare sees no connector of this tunnel", START)
    if ours and not ours & there:
        return wrong(
            "the cloudflared that runs here is not this tunnel's",
            "restart it, so that it reads the token anew: brain tunnel up",
        )
    if there - ours if ours else len(there) > 1:
        return wrong(
            f"{len(there)} connectors serve this tunnel; Cloudflare sends a request to any of them",
            f"stop the one that is not this machine's: {dashboard.TUNNELS} → the tunnel → Connectors",
            *others(seen.connections, frozenset()),
        )
    return fine("one connector, and Cloudflare sees it")


def service_tokens(found: Found, named: frozenset[str], now: float) -> Verdict:
    """Those that the policy names by client id, and when they end."""
    tokens = found.all("service-token")
    mine = [token for token in tokens if token["client_id"] in named]
    if not named:
        return unasked("the policy names no service token")
    ends = sorted(
        (days_left(str(token["expires_at"]), now), str(token["name"]))
        for token in mine
        if token.get("expires_at")
    )
    known = {str(token["client_id"]) for token in mine}
    if gone := sorted(named - known):
        return wrong(
            f"the policy names {gone[0]}, which this account does not have",
            "brain tunnel service-token create NAME, and its client id into the policy",
        )
    if ends and ends[0][0] < SOON_DAYS:
        days, name = ends[0][0], unmarked(ends[0][1])
        when = f"ends in {days:.0f} days" if days > 0 else f"ended {-days:.0f} days ago"
        return wrong(
            f"service token {name} {when}",
            f"brain tunnel service-token rotate {name}; by hand: Refresh: {dashboard.SERVICE_TOKENS}",
        )
    return fine(
        f"{len(mine)}, the next ends in {ends[0][0]:.0f} days" if ends else f"{len(mine)}, none ever ends"
    )


def days_left(timestamp: str, now: float) -> float:
    return (datetime.fromisoformat(timestamp).timestamp() - now) / 86_400
