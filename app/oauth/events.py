"""What the authorization server puts on record: who, which client, which scopes; never a code or a token."""

from __future__ import annotations

from collections.abc import Iterable

from app.audit.events import DecisionWord, Event
from app.oauth.models import Client, Grant
from app.principal import Principal


def registered(client: Client) -> Event:
    return _event("register", client.id, name=" ".join(client.redirect_uris)[:500])


def refused(operation: str, client_id: str, code: str, detail: str, status: int, who: str = "") -> Event:
    """`detail` is ours, never a value that was sent."""
    reason = f"{code} {detail}".strip()
    return _event(operation, client_id[:200], decision="refuse", reason=reason, status=status, who=who)


def consented(grant: Grant, who: Principal, requested: Iterable[str], *, remembered: bool) -> Event:
    reason = f"requested {_list(requested)}, granted {_list(grant.scopes)}, grant {grant.id}"
    operation = "consent/remembered" if remembered else "consent"
    return _event(operation, grant.client_id, who=who.id, reason=reason, groups=grant.groups)


def declined(client_id: str, who: Principal, requested: Iterable[str]) -> Event:
    reason = f"requested {_list(requested)}"
    return _event("consent", client_id, who=who.id, decision="deny", reason=reason)


def issued(operation: str, client_id: str, who: Principal, scopes: Iterable[str], grant_id: str) -> Event:
    """`operation`: token/code, token/refresh, token/client_credentials."""
    reason = f"scopes {_list(scopes)}, grant {grant_id}"
    return _event(operation, client_id, who=who.id, kind=who.kind, reason=reason)


def replayed(what: str, grant: Grant) -> Event:
    """A code or refresh token came a second time: its grant is revoked with all that hangs off it."""
    reason = f"reuse of a {what}, grant {grant.id} revoked"
    return _event(
        f"token/{what.replace(' ', '-')}-reuse",
        grant.client_id,
        who=grant.principal_id,
        decision="refuse",
        reason=reason,
        status=400,
    )


def revoked(client_id: str, who: str, what: str) -> Event:
    return _event("revoke", client_id, who=who, reason=what)


def _event(
    operation: str,
    client: str,
    *,
    name: str = "",
    who: str = "",
    kind: str = "person",
    decision: DecisionWord = "allow",
    reason: str = "",
    status: int = 200,
    groups: Iterable[str] = (),
) -> Event:
    return Event(
        door="tunnel",
        operation=f"oauth/{operation}",
        name=name or client,
        decision=decision,
        principal=who,
        kind=kind if who else "",
        client=client,
        groups=tuple(sorted(groups)),
        reason=reason,
        status=status,
    )


def _list(scopes: Iterable[str]) -> str:
    return "[" + " ".join(sorted(scopes)) + "]"
