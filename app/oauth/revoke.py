"""POST /revoke (RFC 7009). A refresh token takes its whole grant with it, an access token only itself."""

from __future__ import annotations

from collections.abc import Sequence

from app.oauth import events
from app.oauth.authority import Authority
from app.oauth.callers import caller
from app.oauth.errors import TokenError
from app.oauth.forms import Form
from app.oauth.minting import TokenRefused
from app.oauth.models import Client, fingerprint_of


async def revoke(authorization: Sequence[bytes], form: Form, authority: Authority, now: float) -> Client:
    """Unknown, old and other clients' tokens are no error (§2.2). The hint is not needed, so not read."""
    client = await caller(authorization, form, authority, endpoint="/revoke", now=now)
    token = form.get("token")
    if token is None:
        raise TokenError("invalid_request", "token is required.")
    if not await _refresh_token(token, client, authority, now):
        await _access_token(token, client, authority, now)
    return client


async def _refresh_token(token: str, client: Client, authority: Authority, now: float) -> bool:
    found = await authority.store.find_refresh(fingerprint_of(token))
    if found is None:
        return False
    # RFC 7009 §2.1: only the client that it was issued to.
    if found.client_id == client.id and await authority.store.revoke_grant(found.grant_id, now):
        grant = await authority.store.find_grant(found.grant_id)
        who = grant.principal_id if grant else ""
        authority.report(events.revoked(client.id, who, f"grant {found.grant_id}"))
    return True


async def _access_token(token: str, client: Client, authority: Authority, now: float) -> None:
    try:
        claims = authority.minting.read(token, now)
    except TokenRefused:
        return
    if claims.client_id == client.id:
        # A little longer than it is good for: clocks differ.
        await authority.store.revoke_access_token(claims.jti, until=claims.expires_at + 120, now=now)
        authority.report(events.revoked(client.id, "", f"access token {claims.jti}"))
