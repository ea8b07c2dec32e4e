"""What is said when the way in is open: where, who may enter, and how each client connects."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent

from app.pages.connect import tunnel_snippets
from app.provision.found import Found
from app.provision.people import CLIENT_ID_END, is_let_in_as, stays_out
from app.provision.wanted import Intent


def welcome(url: str, intent: Intent, found: Found, now: float, until: str = "") -> str:
    """`found`: what there is at Cloudflare. `until`: when it ends by itself."""
    who = _who(intent, found, now)
    lines = [
        "",
        f"OPEN: {url}/mcp {until}".rstrip(),
        "",
        "Who may enter:",
        *(f"  {line}" for line in who),
        "",
    ]
    for snippet in tunnel_snippets(url, oauth=intent.topology == "oauth"):
        lines += [f"{snippet.client} ({snippet.where})", indent(snippet.text, "    "), ""]
    lines += ["Ctrl-C ends it. `brain tunnel down` takes it away at Cloudflare, too."]
    return "\n".join(lines)


def _who(intent: Intent, found: Found, now: float) -> Iterator[str]:
    """Everybody whom a rule names; of whom cannot come in all the same, why."""
    for rule in intent.rules:
        named = [*sorted(rule.emails), *(f"everybody of {domain}" for domain in sorted(rule.domains))]
        named += [f"the group {group}{_unless(_group(group, found))}" for group in sorted(rule.groups)]
        for id in sorted(rule.service_tokens):
            who = f"the service token {id}" if id.endswith(CLIENT_ID_END) else id  # says what it is
            named.append(f"{who}{_unless(stays_out(id, found, intent.topology, now))}")
        named += ["every person who can log in"] if rule.any_person else []
        yield f"{', '.join(named) or 'nobody'}: {', '.join(sorted(rule.scopes)) or 'nothing'} ({rule.name})"
    if not intent.rules:
        yield "nobody: the policy has no rule"


def _unless(why: str) -> str:
    return f" (CANNOT ENTER: {why})" if why else ""


def _group(name: str, found: Found) -> str:
    return "" if is_let_in_as(name, found) else "no group of this name at Cloudflare"
