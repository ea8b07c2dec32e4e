"""What is said when the way in is open: where, who may enter, and how each client connects."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent

from app.pages.connect import tunnel_snippets
from app.provision.found import Found
from app.provision.named import kept_out, named_by
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
        named = [f"{one}{_unless(kept_out(one, found, intent.topology, now))}" for one in named_by(rule)]
        yield f"{', '.join(named) or 'nobody'}: {', '.join(sorted(rule.scopes)) or 'nothing'} ({rule.name})"
    if not intent.rules:
        yield "nobody: the policy has no rule"


def _unless(why: str) -> str:
    return f" (CANNOT ENTER: {why})" if why else ""
