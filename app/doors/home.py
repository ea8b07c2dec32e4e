"""`/`: the page for browsers, the same facts as JSON for everything else, for whomever the door let in."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from app.doors.http import App, LetIn, Receive, Scope, Send, WrongMethod, refuse
from app.pages import home as view
from app.pages import security_headers
from app.principal import Principal

Gather = Callable[[Principal, str], Awaitable[view.Home]]


def home(gather: Gather) -> App:
    """`gather`: the facts for a principal in the request of that id."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await refuse(send, WrongMethod("GET, HEAD"))
            return
        user: LetIn = scope["user"]
        facts = await gather(user.principal, user.request_id)
        as_html = wants_html([value for name, value in scope["headers"] if name == b"accept"])
        body = (view.html(facts) if as_html else json.dumps(view.as_json(facts), indent=2) + "\n").encode()
        content_type = "text/html; charset=utf-8" if as_html else "application/json"
        shown = b"" if scope["method"] == "HEAD" else body
        forms = as_html and facts.forms
        headers = {**security_headers(forms=forms), "vary": "Accept", "content-length": str(len(body))}
        await _send(send, content_type, shown, **headers)

    return serve


def wants_html(accept: list[bytes]) -> bool:
    """Whether `Accept` names text/html, and nothing against it: a browser does, programs say */* or JSON."""
    weights = {b"text/html": 0.0, b"application/json": 0.0}
    for part in b",".join(accept).split(b","):
        media, *parameters = (piece.strip().lower() for piece in part.split(b";"))
        if media in weights:
            weights[media] = max([_weight(one) for one in parameters if one.startswith(b"q=")] or [1.0])
    return 0 < weights[b"text/html"] >= weights[b"application/json"]


def _weight(parameter: bytes) -> float:
    try:
        return min(max(float(parameter[2:]), 0.0), 1.0)
    except ValueError:
        return 0.0


async def _send(send: Send, content_type: str, body: bytes, **headers: str) -> None:
    named = {
        "content-type": content_type,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        **headers,
    }
    listed = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": 200, "headers": listed})
    await send({"type": "http.response.body", "body": body})
