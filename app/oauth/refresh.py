"""Refreshing (RFC 6749 §6) with rotation (RFC 9700 §4.14.2), and a grace for answers that were lost.

A token that was rotated is good for a moment longer, until its successor is used: whoever asks again gets
the same successor, so there is one chain, however many processes of a client share it. Later it is a sign
of theft, and the whole grant is revoked.
"""

from __future__ import annotations

from typing import Any

from app.oauth import events
from app.oauth.answers import token_answer
from app.oauth.authority import Authority, person_of
from app.oauth.errors import TokenError
from app.oauth.forms import Form
from app.oauth.minting import person_subject
from app.oauth.models import (
    REFRESH_GRACE_SECONDS,
    REFRESH_IDLE_SECONDS,
    Client,
    Grant,
    RefreshToken,
    fingerprint_of,
)
from app.oauth.resource import canonical
from app.oauth.scopes import IGNORED, BadScope, known_scopes, split, within


async def refresh(form: Form, client: Client, authority: Authority, now: float) -> dict[str, Any]:
    secret = form.get("refresh_token")
    if secret is None:
        raise TokenError("invalid_request", "refresh_token is required.")
    old = await _own_token(secret, client, authority, now)
    grant = await authority.store.find_grant(old.grant_id)
    if grant is None or grant.revoked_at is not None or grant.expires_at <= now:
        raise _invalid("the grant is revoked or at its end")
    # RFC 8707 §2.2
    if canonical(form.listed("resource"), authority.issuer) is None:
        raise TokenError("invalid_target", f"The only resource here is {authority.resource}.")
    scopes = _scopes(form.get("scope"), grant, authority)
    successor = authority.successor(secret)
    await _rotate(old, successor, grant, authority, now)
    minted = authority.minting.mint(
        sub=person_subject(grant.subject),
        client_id=client.id,
        scopes=scopes,
        resource=grant.resource,
        grant_id=grant.id,
        now=now,
    )
    authority.report(events.issued("token/refresh", client.id, person_of(grant), scopes, grant.id))
    return token_answer(minted, scopes, now, refresh_token=successor)


async def _own_token(secret: str, client: Client, authority: Authority, now: float) -> RefreshToken:
    """RFC 6749 §10.4: bound to its client. Another's stays good for its owner."""
    found = await authority.store.find_refresh(fingerprint_of(secret))
    if found is None or found.client_id != client.id or found.expires_at <= now:
        raise _invalid("unknown, expired or another client's")
    return found


async def _rotate(old: RefreshToken, successor: str, grant: Grant, authority: Authority, now: float) -> None:
    """RFC 9700 §4.14.2: one that was replaced for good comes from a thief, or from one who was robbed."""
    new = RefreshToken(
        sha256=fingerprint_of(successor),
        grant_id=grant.id,
        client_id=old.client_id,
        created_at=now,
        expires_at=min(now + REFRESH_IDLE_SECONDS, grant.expires_at),
        parent_sha256=old.sha256,
    )
    if await authority.store.rotate_refresh(old.sha256, new, now=now, grace=REFRESH_GRACE_SECONDS):
        return
    latest = await authority.store.find_refresh(old.sha256)
    if latest is not None and latest.rotated_at is not None and latest.expires_at > now:
        if await authority.store.revoke_grant(grant.id, now):
            authority.report(events.replayed("refresh token", grant))
        raise _invalid("reuse of a rotated token")
    raise _invalid("the grant is revoked or at its end")


def _scopes(text: str | None, grant: Grant, authority: Authority) -> tuple[str, ...]:
    """RFC 6749 §6: the grant's, or fewer of them; as far as the person still has them."""
    policy = authority.policy()
    wanted = _wanted(text, authority)
    if wanted and not wanted <= grant.scopes:
        raise TokenError("invalid_scope", "A refresh cannot give more than was granted.")
    limit = authority.ceiling(person_of(grant)) & grant.scopes
    if not within(grant.scopes, limit, policy):
        raise _invalid("nothing of the grant is within the ceiling")
    scopes = within(wanted or grant.scopes, limit, policy)
    if not scopes:
        raise TokenError("invalid_scope", "None of these scopes is open to this person now.")
    return scopes


def _wanted(text: str | None, authority: Authority) -> frozenset[str]:
    """Clients repeat what they once asked for: what we do not know does no harm."""
    try:
        names = frozenset(split(text)) if text else frozenset()
    except BadScope as error:
        raise TokenError("invalid_scope", str(error)) from None
    known = names.intersection(known_scopes(authority.policy()))
    if names - IGNORED and not known:
        raise TokenError("invalid_scope", "None of the scopes is known here.")
    return known


def _invalid(detail: str) -> TokenError:
    """RFC 6749 §5.2, status 400: clients ask their person anew."""
    return TokenError(
        "invalid_grant", "The refresh token is invalid, expired, revoked or another client's.", detail=detail
    )
