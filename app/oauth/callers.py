"""The client behind a request to /token, /revoke or /introspect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.oauth.authority import Authority
from app.oauth.client_auth import Credentials, InvalidClient, check, check_assertion, credentials
from app.oauth.errors import TokenError
from app.oauth.forms import Form
from app.oauth.models import Client


async def caller(
    authorization: Sequence[bytes], form: Form, authority: Authority, *, endpoint: str, now: float
) -> Client:
    """Who asks at `endpoint`, authenticated as registered. Raises TokenError.

    The client of a metadata document is the one that consent was given to: its document is not needed
    again, so its host may be away (CIMD: no tokens are lost by that).
    """
    if form.repeated({"resource"}):  # RFC 6749 §3.2; RFC 8707 §2 allows `resource` to be
        raise TokenError("invalid_request", "A parameter is repeated.")
    claimed = credentials(authorization, form)
    client = await authority.store.find_client(claimed.client_id)
    if client is None:
        raise InvalidClient("unknown client")
    check(claimed, client, now)
    if claimed.method == "private_key_jwt":
        await _check_assertion(claimed, client, authority, endpoint, now)
    return client


async def _check_assertion(
    claimed: Credentials, client: Client, authority: Authority, endpoint: str, now: float
) -> None:
    """RFC 7523 §3; each assertion once."""
    issuer = authority.issuer
    audiences = {issuer, issuer + "/token", issuer + endpoint}
    keys = await _keys(client, authority)
    jti, until = check_assertion(claimed.secret, client.id, keys, audiences, now)
    if not await authority.store.use_jti(client.id, jti, until):
        raise InvalidClient("the assertion was used before")


async def _keys(client: Client, authority: Authority) -> Mapping[str, Any]:
    if client.jwks is not None:
        return client.jwks
    if authority.client_keys is None:
        raise InvalidClient("jwks_uri is not fetched here")
    return await authority.client_keys(client)
