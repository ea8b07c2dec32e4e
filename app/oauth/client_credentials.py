"""A client that acts for itself (RFC 6749 §4.4): one of the operator's, within its list and the policy."""

from __future__ import annotations

from typing import Any

from app.oauth import events
from app.oauth.answers import token_answer
from app.oauth.authority import Authority, machine_of
from app.oauth.errors import TokenError
from app.oauth.forms import Form
from app.oauth.minting import client_subject
from app.oauth.models import Client
from app.oauth.resource import canonical
from app.oauth.scopes import BadScope, requested, within
from app.policy.decide import expand


async def client_credentials(form: Form, client: Client, authority: Authority, now: float) -> dict[str, Any]:
    """No refresh token (§4.4.3): its secret is as good."""
    if client.auth_methods == {"none"}:
        raise TokenError("unauthorized_client", "A public client cannot act for itself.")
    if canonical(form.listed("resource"), authority.issuer) is None:
        raise TokenError("invalid_target", f"The only resource here is {authority.resource}.")
    scopes = _scopes(form.get("scope"), client, authority)
    subject = client_subject(client.id)
    minted = authority.minting.mint(
        sub=subject,
        client_id=client.id,
        scopes=scopes,
        resource=authority.resource,
        grant_id=subject,
        now=now,
    )
    await authority.store.touch_client(client.id, now)
    authority.report(
        events.issued("token/client_credentials", client.id, machine_of(client), scopes, subject)
    )
    return token_answer(minted, scopes, now)


def _scopes(text: str | None, client: Client, authority: Authority) -> tuple[str, ...]:
    """All or nothing: nobody is there who could be asked for less."""
    policy = authority.policy()
    limit = expand(policy, client.scopes) & authority.ceiling(machine_of(client))
    try:
        wanted = requested(text, policy, limit)
    except BadScope as error:
        raise TokenError("invalid_scope", str(error)) from None
    if not wanted or not limit.issuperset(wanted):
        raise TokenError("invalid_scope", "The client may not have all of these scopes.")
    return within(wanted, limit, policy)
