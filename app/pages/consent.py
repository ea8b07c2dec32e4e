"""The pages of the authorization server: the question for a person, and every refusal that a browser gets.

Implements Pages (app/oauth/views.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from app.oauth.models import REQUEST_SECONDS
from app.oauth.views import ConsentView, ErrorView
from app.pages import render, security_headers
from app.policy.rules import READ, WRITE

NAME_MAX = 80
TEXT_MAX = 300
# How to begin anew, in the words of each client.
AGAIN = (
    ("Claude", "Settings, Connectors: disconnect the Brain, then connect it."),
    ("ChatGPT", "Settings, Apps and connectors: disconnect the Brain, then connect it."),
    ("Claude Code", "/mcp, choose the server, clear its authentication, then authenticate."),
    ("Cursor", "Settings, MCP: log out of the server, then connect it."),
    ("VS Code", "MCP: List Servers, choose the server, disconnect its account, then start it."),
    ("mcp-remote", "delete the folder ~/.mcp-auth and start the client."),
)
_ASKED_WRONGLY = (
    "Nothing was allowed, and nobody was told anything. Go back to the program that sent you here and "
    "connect it once more. If that ends here too, remove the server there and add it again."
)
_ADVICE = {
    "invalid_client": (
        "Remove this server in the program that sent you here, and add it again: it then registers anew. "
        "Nothing is lost by that; your notes are here."
    ),
    "access_denied": (
        "Nothing was allowed. If you began this yourself, begin again in the program, and stay in one "
        "browser and one account until the end. If you did not begin it, close this page."
    ),
    # Whoever clicks twice gets here although the first click counted.
    "question_over": (
        "If you answered before, that answer counts, also if you only clicked twice. If the program still "
        "waits for you, begin again in it."
    ),
    "denied": "Only the operator of this server can give you access again.",
    "rate_limited": "Wait, then begin again in the program that sent you here.",
}
# Addresses that only pass the answer on, to a program on the person's computer.
_RELAYS = {
    "https://vscode.dev": ("vscode:", "http://127.0.0.1:*"),
    "https://insiders.vscode.dev": ("vscode-insiders:", "http://127.0.0.1:*"),
}
_LATER = "Nothing was changed. Try again in a few minutes; what you allowed before stays allowed."


class HtmlPages:
    """Whole documents in the one look of all pages."""

    def consent(self, view: ConsentView) -> bytes:
        names = [scope.name for scope in view.scopes]
        return render(
            "consent.html",
            view=view,
            name=shortened(view.client_name, NAME_MAX) or view.redirect_host,
            vouched=view.client_host is not None or view.by_operator,
            target=_target(view),
            redirect_uri=shortened(view.redirect_uri, TEXT_MAX),
            client_id=shortened(view.client_id, TEXT_MAX),
            client_uri=shortened(view.client_uri or "", TEXT_MAX),
            server=urlsplit(view.resource).netloc,
            some_new=view.known and any(scope.new for scope in view.scopes),
            implied=READ if {READ, WRITE} <= set(names) else None,
            writing=WRITE,
            reading=READ,
            minutes=REQUEST_SECONDS // 60,
            until=datetime.fromtimestamp(view.expires_at, UTC),
        ).encode()

    def error(self, view: ErrorView) -> bytes:
        later = view.status >= 500 or view.code == "temporarily_unavailable"
        advice = _LATER if later else _ADVICE.get(view.code, _ASKED_WRONGLY)
        return render(
            "refusal.html",
            view=view,
            headline=_headline(view, later=later),
            advice=advice,
            wait=_wait(view.retry_after),
            again=() if later or view.code in ("denied", "rate_limited") else AGAIN,
            may_have_allowed=view.code == "question_over",
        ).encode()

    def headers(self, form_action: Sequence[str], *, forms: bool) -> dict[str, str]:
        return security_headers(_after(form_action), forms=forms) | {"x-frame-options": "DENY"}


def shortened(text: str, most: int) -> str:
    """On one line, and cut where it is longer than a person would read."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def _after(sources: Sequence[str]) -> tuple[str, ...]:
    """Where a form's answer may lead, in the terms of `form-action`.

    Chromium holds every redirect against it and says nothing to the person: the button does nothing. A
    client's own address may redirect further, and so may a login; so all of https, if any. A literal IPv6
    address is no source at all (CSP §2.3.1), so for it all of http.
    """
    found: list[str] = []
    for source in sources:
        web, literal = source.startswith("https:"), source.startswith("http://[")
        found += ["https:" if web else "http:" if literal else source, *_RELAYS.get(source, ())]
    return tuple(dict.fromkeys(found))


def _target(view: ConsentView) -> str:
    """Who gets the answer: the owner of a web address, a program here, or whatever opens a scheme."""
    if view.loopback:
        return "loopback"
    return "web" if view.redirect_uri.startswith("https://") else "scheme"


def _headline(view: ErrorView, *, later: bool) -> str:
    if later:
        return "This does not work at the moment."
    return {
        "invalid_client": "This program is not known here.",
        "access_denied": "This was not allowed.",
        "question_over": "This question is over.",
        "denied": "You are shut off.",
        "rate_limited": "That was too often.",
    }.get(view.code, "This did not work.")


def _wait(seconds: int | None) -> str:
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    return f"{-(-seconds // 60)} minutes"
