"""Whether a stranger was refused, by somebody whose no counts: Access, cloudflared, the tunnel door.

A no of anybody else proves nothing: a bot rule answers before Access is asked, and tomorrow it may not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from app.tunnel.answers import Answer, blocked_by, unblock, who

Refusal = Literal["refused", "open", "unproven", "unreachable"]

ACCESS_PAGES = "/cdn-cgi/access/"
ACCESS_RESOURCE = "/.well-known/cloudflare-access-protected-resource"
# Our door's no to a credential, or to none, once it has looked. Its other refusals (400, 421, 429) come
# before that.
UNKNOWN = frozenset({"unauthorized", "invalid_token"})
NO_KEYS = "temporarily_unavailable"
DOOR_CLOSED = "door_closed"
# Whoever says so, nobody got in; but who it was that said no has to be known for it to prove something.
NO = frozenset({400, 401, 403, 407, 421, 429, 451})
# What the edge answers while no connector serves the name: 1033 comes as a 530.
NOBODY_THERE = frozenset({502, 503, 504, 521, 522, 523, 530})
BAD_ASSERTION = 502  # cloudflared's own answer to an assertion that does not verify
_RESOURCE = re.compile(r'\bresource_metadata="([^"]*)"')


def judge(answer: Answer, *, team: str, host: str, forged: bool) -> tuple[Refusal, str]:
    """The verdict, and what was seen, in words.

    `team`: its name (`acme`, `acme.fed`). `host`: the name that was asked. `forged`: with something made up.
    What is neither a no nor a silence counts as open.
    """
    seen = answer.in_short().removeprefix("HTTP ")
    if refused_by_access(answer, team, host):
        return "refused", f"{seen} by Access"
    speaker = who(answer)
    if speaker == "a rule of the zone" and answer.status >= 300:
        return "unproven", (
            f"{seen} by {blocked_by(answer)}, before Access was asked. To do: {unblock(host, answer)}"
        )
    if refused_by_door(answer):
        return "refused", f"{seen} by the tunnel door"
    if "x-request-id" not in answer.headers and speaker in ("cloudflared", "the edge"):
        if answer.status == 403 and speaker == "cloudflared":
            return "refused", f"{seen} by cloudflared"
        if answer.status == BAD_ASSERTION and forged:
            return "refused", f"{seen} by cloudflared"
    if is_silence(answer):
        return "unreachable", f"{answer.status}: no connector serves the name"
    if answer.status in NO or shut_by_door(answer):
        return "unproven", f"{seen} by {speaker}, {_nothing_proven(answer)}"
    return "open", seen


def _nothing_proven(answer: Answer) -> str:
    if answer.status == 429 or shut_by_door(answer):
        return "which came before anybody was looked at. Ask again in a minute"
    return "and neither Access nor the tunnel door has said no. See what stands in front of the name"


def refused_by_door(answer: Answer) -> bool:
    """Whether our own door has looked at the credential, or seen none, and said no: in JSON, or to people
    by the page that has the id of its own request in it (app/doors/credentials.py)."""
    request_id = answer.headers.get("x-request-id", "")
    if answer.status != 401 or not request_id:
        return False
    return answer.error in UNKNOWN or (
        answer.is_page and f"Request <code>{request_id}</code>".encode() in answer.body
    )


def is_silence(answer: Answer) -> bool:
    """Whether the edge says that nobody is there, and no door of ours says anything."""
    return answer.status in NOBODY_THERE and "x-request-id" not in answer.headers


def shut_by_door(answer: Answer) -> bool:
    """Whether our own door lets nobody in for now: it has no signing keys, or the operator has closed it."""
    ours = answer.status == 503 and "x-request-id" in answer.headers
    return ours and answer.error in (NO_KEYS, DOOR_CLOSED)


def refused_by_access(answer: Answer, team: str, host: str) -> bool:
    """The login of this very team, the challenge of Managed OAuth for this very name, or a page of Access
    that says no (Cloudflare, "Authenticate agents": how a program tells that Access is there)."""
    headers = answer.headers
    if "cf-mitigated" in headers or "x-request-id" in headers:
        return False
    if answer.status in (302, 303):
        return _is_login(headers.get("location", ""), team)
    if answer.status not in (401, 403):
        return False
    if "cf-access-error" in headers:
        return True
    return _is_resource(headers, host)


def _is_login(location: str, team: str) -> bool:
    try:
        url = urlsplit(location)
    except ValueError:
        return False
    at_team = url.scheme == "https" and url.netloc.lower() == f"{team}.cloudflareaccess.com".lower()
    return at_team and url.path.startswith(ACCESS_PAGES)


def _is_resource(headers: Mapping[str, str], host: str) -> bool:
    challenge = headers.get("www-authenticate", "")
    found = _RESOURCE.search(challenge)
    if found is None or not challenge.lower().startswith(("bearer ", "cloudflare-access ")):
        return False
    try:
        url = urlsplit(found[1])
    except ValueError:
        return False
    return url.scheme == "https" and url.hostname == host.lower() and url.path.startswith(ACCESS_RESOURCE)
