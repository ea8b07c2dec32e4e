"""The public name from outside: where it leads, who answers there, and that nobody just gets in."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from app.doctor import dashboard
from app.doctor.checks import Verdict, fine, unasked, wrong
from app.tunnel.answers import Answer, Unreached, blocked_by, edge_error, who
from app.tunnel.refusals import Refusal

SOON_DAYS = 3  # Cloudflare renews weeks ahead; this late it does not any more
APPLY = "brain tunnel apply"


def public_name(host: str, addresses: Sequence[str] | None) -> Verdict:
    """`addresses`: where the name leads; None where a proxy looks names up for us."""
    if addresses is None:
        return fine(f"{host}: the proxy (HTTPS_PROXY) looks it up")
    if not addresses:
        return wrong(
            f"{host} is not in the DNS",
            f"{APPLY}; by hand: {dashboard.DNS}, CNAME {host} to <tunnel id>.cfargotunnel.com, Proxied",
        )
    inner = [one for one in addresses if ip_address(one).is_private]
    if inner:
        return wrong(
            f"{host} leads to {inner[0]}, no address of the internet: the record is not proxied",
            f"{APPLY}; by hand: {dashboard.DNS}, the record {host}, Proxy status: Proxied",
        )
    return fine(f"{host} leads to {', '.join(sorted(addresses)[:2])}")


def certificate(answer: Answer | Unreached, host: str, now: float) -> Verdict:
    """The certificate of the edge; `answer` is any that came by it."""
    if isinstance(answer, Unreached):
        return _no_certificate(answer, host)
    if answer.certificate is None:
        return fine("BASE_URL is http on this machine: there is none")
    days = (ssl.cert_time_to_seconds(str(answer.certificate["notAfter"])) - now) / 86_400
    if days < SOON_DAYS:
        return wrong(
            f"it ends in {days:.0f} days", f"see why it is not renewed: {dashboard.EDGE_CERTIFICATES}"
        )
    return fine(f"good for {host}")


def _no_certificate(failure: Unreached, host: str) -> Verdict:
    if failure.why != "certificate":
        if failure.why in ("name", "proxy"):
            return wrong(
                f"{host}: {failure.in_short()}",
                f"{APPLY}; by hand: {dashboard.DNS}, CNAME {host} to <tunnel id>.cfargotunnel.com, Proxied",
            )
        return wrong(f"{host}: {failure.in_short()}", "let this machine reach the internet on port 443")
    if "signed" in failure.detail or "issuer" in failure.detail:
        return wrong(
            f"{host}: {failure.in_short()}",
            "something on the way opens TLS: give its root certificate in SSL_CERT_FILE, or go around it",
        )
    deep = host.count(".") > 2
    return wrong(
        f"{host}: {failure.in_short()}",
        f"use a name one label below the domain (Universal SSL goes no deeper), or order a certificate: "
        f"{dashboard.EDGE_CERTIFICATES}"
        if deep
        else f"wait some minutes if the domain is new; else see {dashboard.EDGE_CERTIFICATES}",
    )


# What Cloudflare's own errors mean for a tunnel: (what is so, the one fix).
ERRORS: Mapping[str, tuple[str, str]] = {
    "1016": ("the DNS record leads to no tunnel: it was deleted, or the record is another's", APPLY),
    "1033": ("no connector is there: cloudflared does not run, or for another tunnel", "brain tunnel up"),
    "502": (
        "cloudflared does not reach the tunnel door",
        "start the server, and have the ingress name TUNNEL_DOOR as its service: brain tunnel apply",
    ),
    "503": ("cloudflared has no ingress rules at all", APPLY),
    "521": ("the record leads to a machine and not to a tunnel", APPLY),
    "522": ("the record leads to a machine and not to a tunnel", APPLY),
    "523": ("the record leads to a machine and not to a tunnel", APPLY),
    "524": (
        "the server did not answer within 120 s",
        "look at its log; a tool call must end or send heartbeats",
    ),
    "530": ("the tunnel is not there", APPLY),
}


def edge(answer: Answer | Unreached, host: str) -> Verdict:
    """Whether Cloudflare answers for the name, and its way to the server is whole as far as can be seen."""
    if isinstance(answer, Unreached):
        return wrong(f"{host}: {answer.in_short()}", "let this machine reach the internet on port 443")
    speaker = who(answer)
    if speaker == "somebody else":
        server = answer.headers.get("server", "no name")
        return wrong(
            f"{host}: not Cloudflare answers but another server ({server}): {answer.in_short()}",
            f"{APPLY}; by hand: {dashboard.DNS}, the record {host}: CNAME to the tunnel, Proxied",
        )
    own = str(answer.status) if answer.status in (502, 503) and "x-request-id" not in answer.headers else ""
    if (code := edge_error(answer) or own) in ERRORS:  # cloudflared's own 502 and 503 say no number
        what, fix = ERRORS[code]
        return wrong(f"error {code}: {what}", fix)
    if answer.status == 404 and speaker == "cloudflared":
        return wrong(
            f"404 from the last rule of cloudflared: no ingress rule is for {host}",
            f"{APPLY}; the hostname of the rule must be that of BASE_URL",
        )
    if answer.status == 403 and speaker == "cloudflared":
        return wrong(
            "403 from cloudflared itself, which wants an assertion here: the Access application was deleted, "
            "or has a Bypass policy",
            f"{APPLY}; by hand: {dashboard.POLICIES}: remove the Bypass",
        )
    if speaker == "the LAN door":
        return wrong(
            "421 from the LAN door: cloudflared points at its port and not at the tunnel door",
            f"{APPLY}; in a file of one's own: service: the address in TUNNEL_DOOR",
        )
    if answer.error == "door_closed":
        return unasked("the tunnel door is shut off; it opens with: brain undeny door:tunnel")
    if answer.status == 421:
        return wrong(
            f"421: the tunnel door does not go by the name {host}",
            "set BASE_URL to the public name and restart the server; httpHostHeader must not be set",
        )
    return fine(f"{speaker} answers: {answer.in_short()}")


def application(answer: Answer | Unreached, path: str, teams: Sequence[str], auds: frozenset[str]) -> Verdict:
    """`answer`: what a browser without a session got at `path`, which Access must cover.

    `teams`: the domains that the login may be at.
    """
    if isinstance(answer, Unreached):
        return wrong(answer.in_short(), "let this machine reach the internet on port 443")
    domain, aud = answer.login
    if domain:
        return _application(domain, aud, path, teams, auds)
    speaker = who(answer)
    if answer.status < 300:
        return wrong(
            f"{path} is open to anybody: {answer.in_short()}",
            "now: brain tunnel down; then brain tunnel plan",
        )
    if speaker in ("the tunnel door", "cloudflared"):
        return wrong(
            f"Access is not in front of {path}: {speaker} itself refused ({answer.in_short()}). "
            "The application was deleted, does not cover this path, or has a Bypass policy",
            f"{APPLY}; by hand: {dashboard.POLICIES}: no Bypass, and the hostname under Destinations",
        )
    if speaker == "a rule of the zone":
        return unasked(f"{blocked_by(answer)} answers before Access does")
    return wrong(f"{path}: {answer.in_short()} instead of the login page", f"see {dashboard.APPLICATION}")


def _application(domain: str, aud: str, path: str, teams: Sequence[str], auds: frozenset[str]) -> Verdict:
    if domain not in teams:
        return wrong(
            f"the login at {path} is at {domain}, and CF_ACCESS_TEAM means {teams[0]}",
            f"CF_ACCESS_TEAM={domain.removesuffix('.cloudflareaccess.com')}, then restart the server",
        )
    if aud and aud not in auds:
        return wrong(
            f"the application in front of {path} has AUD tag {aud[:8]}…, which CF_ACCESS_AUD does not name",
            f"CF_ACCESS_AUD={aud}, then restart the server",
        )
    return fine(f"{domain} asks who comes to {path}" + (f", AUD tag {aud[:8]}…" if aud else ""))


def unauthenticated(answer: Answer | Unreached, with_slash: Answer | Unreached, *, oauth: bool) -> Verdict:
    """What an MCP client without a credential gets for its first POST: the start of a login, never a page.

    `with_slash`: the same for `/mcp/`, which must be no redirect: clients drop the credential on the way.
    """
    if isinstance(answer, Unreached):
        return wrong(answer.in_short(), "let this machine reach the internet on port 443")
    speaker = who(answer)
    if answer.status == 401 and "resource_metadata" in answer.challenge:
        if oauth and speaker == "Access":
            return wrong(
                "the 401 is of Access' Managed OAuth, which hides the OAuth server of the Brain",
                f"turn off {dashboard.MANAGED_OAUTH}; or OAUTH_ENABLED=false",
            )
        if not isinstance(with_slash, Answer) or with_slash.status != 401:
            return wrong(
                f"/mcp gets a 401, and /mcp/ gets {with_slash.in_short()}",
                f"{APPLY}; by hand: the application must cover both: {dashboard.APPLICATIONS}",
            )
        return fine(f"401 with a challenge, from {speaker}")
    if oauth:
        return wrong(
            f"{answer.in_short()} from {speaker}, not a 401 of the tunnel door: Access covers /mcp",
            f"{APPLY}; by hand: a Bypass application for /mcp, or the covering one for /authorize alone: "
            f"{dashboard.APPLICATIONS}",
        )
    if answer.login[0] or answer.is_page:
        return wrong(
            f"{answer.in_short()}: a login page, which no MCP client can use",
            f"turn on {dashboard.MANAGED_OAUTH}; with service tokens alone: {dashboard.SERVICE_401}",
        )
    if answer.status == 401:
        return wrong(
            f"401 from {speaker} without a challenge: clients do not learn where to log in",
            f"turn on {dashboard.MANAGED_OAUTH}",
        )
    if speaker == "a rule of the zone":
        return unasked(f"{blocked_by(answer)} answers before Access does")
    return wrong(f"{answer.in_short()} from {speaker}", f"see {dashboard.APPLICATION}")


def closed(answers: Mapping[str, tuple[Refusal, str]]) -> Verdict:
    """`answers`: by what a stranger tried, what became of it, and what was seen."""
    open_ones = [f"{tried}: {seen}" for tried, (how, seen) in answers.items() if how == "open"]
    if open_ones:
        return wrong(
            f"{len(open_ones)} of {len(answers)} attempts without a good credential were answered",
            "now: brain tunnel down; then brain tunnel plan shows what Access lacks",
            *open_ones,
        )
    unknown = [f"{tried}: {seen}" for tried, (how, seen) in answers.items() if how != "refused"]
    if unknown:
        return unasked(f"{len(unknown)} of {len(answers)} attempts prove nothing; {unknown[0]}")
    return fine(f"{len(answers)} attempts without a good credential, and none got in")
