"""What is said when the way in is open: where, who may enter, and how each client connects."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent

from app.pages.connect import tunnel_snippets
from app.policy.rules import Rule
from app.provision.wanted import Intent


def welcome(url: str, intent: Intent, until: str = "") -> str:
    """`until`: when it ends by itself."""
    lines = ["", f"OPEN: {url}/mcp {until}".rstrip(), ""]
    lines += ["Who may enter:", *(f"  {line}" for line in _who(intent.rules)), ""]
    for snippet in tunnel_snippets(url, oauth=intent.topology == "oauth"):
        lines += [f"{snippet.client} ({snippet.where})", indent(snippet.text, "    "), ""]
    lines += ["Ctrl-C ends it. `brain tunnel down` takes it away at Cloudflare, too."]
    return "\n".join(lines)


def _who(rules: tuple[Rule, ...]) -> Iterator[str]:
    for rule in rules:
        people = [*sorted(rule.emails), *(f"everybody of {domain}" for domain in sorted(rule.domains))]
        people += [f"the group {group}" for group in sorted(rule.groups)]
        people += [f"the service token {token}" for token in sorted(rule.service_tokens)]
        people += ["every person who can log in"] if rule.any_person else []
        yield f"{', '.join(people) or 'nobody'}: {', '.join(sorted(rule.scopes)) or 'nothing'} ({rule.name})"
    if not rules:
        yield "nobody: the policy has no rule"
