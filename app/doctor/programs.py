"""Programs at the public name: whether they may become clients, and whether the zone keeps them out."""

from __future__ import annotations

import json
from collections.abc import Mapping

from app.doctor import dashboard
from app.doctor.checks import Verdict, fine, wrong
from app.tunnel.answers import Answer, Unreached, blocked_by, unblock, who

# A tool call whose argument a firewall may take for an attack (anthropics/claude-code#64384).
LIKE_SQL = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "search", "arguments": {"query": "SELECT * FROM users WHERE 1=1 OR '1'='1' --"}},
    }
).encode()
PLAIN = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def registration(redirect: str) -> bytes:
    """A registration that is refused in the end whatever its redirect URI: so nothing is left behind.

    `response_types` is wrong (RFC 7591 §2.1), and is looked at after the redirect URIs.
    """
    return json.dumps(
        {
            "client_name": "brain doctor",
            "redirect_uris": [redirect],
            "grant_types": ["authorization_code"],
            "response_types": ["none"],
            "token_endpoint_auth_method": "none",
        }
    ).encode()


def registrations(answers: Mapping[str, Answer | Unreached], *, oauth: bool) -> Verdict:
    """`answers`: by redirect URI, of the registration endpoint."""
    refused, unknown = [], []
    for redirect, answer in answers.items():
        if isinstance(answer, Unreached) or answer.status >= 500 or not isinstance(answer.document, dict):
            unknown.append(f"{redirect}: {answer.in_short()}")
        elif _refuses_redirect(answer):
            refused.append(redirect)
    if refused:
        fix = f"brain tunnel apply; by hand: {dashboard.REDIRECTS}: {refused[0]}"
        if oauth:
            fix = "see app/oauth/redirects.py: it is no address that this server sends a code to"
        return wrong(f"{len(refused)} of {len(answers)} redirect URIs are refused", fix, *refused)
    if unknown:
        return wrong(
            f"{len(unknown)} of {len(answers)} registrations got no proper answer",
            f"turn on {dashboard.MANAGED_OAUTH} → Dynamic client registration"
            if not oauth
            else f"/register must be reachable: a Bypass application for it: {dashboard.APPLICATIONS}",
            *unknown[:3],
        )
    return fine(f"the redirect URIs of all clients are taken ({len(answers)})")


def _refuses_redirect(answer: Answer) -> bool:
    """Ours has a code for it (RFC 7591 §3.2.2), Managed OAuth says it in words."""
    told = str(answer.document.get("error_description", ""))
    return answer.error == "invalid_redirect_uri" or "redirect_uri" in told


def agents(answers: Mapping[str, Answer | Unreached], host: str) -> Verdict:
    """`answers`: by what was sent, a User-Agent or one with an argument like SQL."""
    blocked = {
        sent: answer
        for sent, answer in answers.items()
        if isinstance(answer, Answer) and who(answer) == "a rule of the zone"
    }
    if not blocked:
        return fine(f"{len(answers)} requests as {', '.join(answers)}: none is blocked")
    lines = [f"{sent}: {answer.status} by {blocked_by(answer)}" for sent, answer in blocked.items()]
    if len(blocked) == len(answers):
        lines = [f"all: {next(iter(blocked.values())).status} by {blocked_by(next(iter(blocked.values())))}"]
    return wrong(
        f"{len(blocked)} of {len(answers)} are blocked before they reach Access",
        unblock(host, *blocked.values()),
        *lines,
    )
