"""POST /introspect (RFC 7662): whether an access token is good now, for those who may know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.oauth.authority import Authority, machine_of, person_of
from app.oauth.callers import caller
from app.oauth.client_auth import InvalidClient
from app.oauth.errors import TokenError
from app.oauth.forms import Form
from app.oauth.minting import CLIENT, TokenClaims, TokenRefused
from app.oauth.models import Client
from app.oauth.scopes import within

_INACTIVE = {"active": False}


async def introspect(
    authorization: Sequence[bytes], form: Form, authority: Authority, now: float
) -> tuple[Client, dict[str, Any]]:
    """RFC 7662 §2.2: whatever is wrong, the answer is no more than `active` false.

    Refresh tokens are never active here: nobody but this server has a use for one (§4).
    """
    client = await caller(authorization, form, authority, endpoint="/introspect", now=now)
    # RFC 7662 §2.1: some authorization is required; a public client has none.
    if client.auth_methods == {"none"} or not _proved(authorization, form):
        raise InvalidClient("introspection by a public client")
    token = form.get("token")
    if token is None:
        raise TokenError("invalid_request", "token is required.")
    try:
        claims = authority.minting.read(token, now)
    except TokenRefused:
        return client, _INACTIVE
    return client, await _answer(claims, client, authority, now)


def _proved(authorization: Sequence[bytes], form: Form) -> bool:
    return bool(authorization or form.get("client_secret") or form.get("client_assertion"))


async def _answer(claims: TokenClaims, client: Client, authority: Authority, now: float) -> dict[str, Any]:
    """Of one's own tokens; the operator's own clients stand for resource servers and may ask of all."""
    if claims.client_id != client.id and client.origin != "operator":
        return _INACTIVE
    if authority.revocations.is_revoked(grant_id=claims.grant_id, jti=claims.jti):
        return _INACTIVE
    scopes = await _scopes(claims, authority, now)
    if not scopes:
        return _INACTIVE
    return {
        "active": True,
        "scope": " ".join(scopes),
        "client_id": claims.client_id,
        "sub": claims.subject,
        "aud": claims.resource,
        "iss": authority.issuer,
        "exp": int(claims.expires_at),
        "iat": int(claims.issued_at),
        "jti": claims.jti,
        "token_type": "Bearer",
    }


async def _scopes(claims: TokenClaims, authority: Authority, now: float) -> tuple[str, ...]:
    """Those that count at this moment: what the policy took back is not told as given."""
    policy = authority.policy()
    if claims.subject.startswith(CLIENT):
        owner = await authority.store.find_client(claims.client_id)
        return within(claims.scopes, authority.ceiling(machine_of(owner)), policy) if owner else ()
    grant = await authority.store.find_grant(claims.grant_id)
    if grant is None or grant.revoked_at is not None or grant.expires_at <= now:
        return ()
    return within(claims.scopes, authority.ceiling(person_of(grant)), policy)
