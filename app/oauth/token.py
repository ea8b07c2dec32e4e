"""POST /token: which grant it is, and the exchange of an authorization code (OAuth 2.1 §4.1.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from app.oauth import events, pkce
from app.oauth.answers import token_answer
from app.oauth.authority import Authority, person_of
from app.oauth.callers import caller
from app.oauth.client_credentials import client_credentials
from app.oauth.errors import TokenError
from app.oauth.forms import Form
from app.oauth.minting import person_subject
from app.oauth.models import (
    CODE_TRIES,
    REFRESH_IDLE_SECONDS,
    Client,
    Code,
    Grant,
    RefreshToken,
    fingerprint_of,
)
from app.oauth.refresh import refresh
from app.oauth.resource import canonical
from app.oauth.scopes import within

Answer = dict[str, Any]
_Grant = Callable[[Form, Client, Authority, float], Awaitable[Answer]]


async def token(
    authorization: Sequence[bytes], form: Form, authority: Authority, now: float
) -> tuple[Client, Answer]:
    """Raises TokenError, or AppError 503: nothing transient may look like the end of a grant."""
    client = await caller(authorization, form, authority, endpoint="/token", now=now)
    name = form.get("grant_type")
    if name is None:
        raise TokenError("invalid_request", "grant_type is missing.")
    grant_type = _GRANT_TYPES.get(name)
    if grant_type is None:
        raise TokenError("unsupported_grant_type", "This grant type is not supported.")
    # RFC 6749 §5.2; a public client has nothing to prove that it acts for itself (§4.4).
    if name not in client.grant_types:
        raise TokenError("unauthorized_client", "The client is not registered for this grant type.")
    return client, await grant_type(form, client, authority, now)


async def exchange(form: Form, client: Client, authority: Authority, now: float) -> Answer:
    """The tokens of a code. All that can be wrong is looked at before the code is used up."""
    secret, verifier = form.get("code"), form.get("code_verifier")
    if secret is None or verifier is None:
        raise TokenError("invalid_request", "code and code_verifier are required.")
    code = await _own_code(secret, client, authority)
    _check_redirect(form, code)
    await _check_verifier(verifier, code, authority)
    if code.used_at is not None:
        raise await _replayed(code, authority, now)
    _check_resource(form, authority)
    grant = await authority.store.find_grant(code.grant_id)
    if grant is None or grant.revoked_at is not None or code.expires_at <= now:
        raise _invalid("the code has expired or its grant is revoked")
    scopes = _scopes_now(grant, authority)
    return await _issue(code, grant, client, scopes, authority=authority, now=now)


async def _own_code(secret: str, client: Client, authority: Authority) -> Code:
    """RFC 6749 §4.1.3: issued to this very client. Another's stays good for its owner."""
    code = await authority.store.find_code(fingerprint_of(secret))
    if code is None:
        raise _invalid("unknown code")
    if code.client_id != client.id:
        raise _invalid("the code is another client's")
    return code


def _check_redirect(form: Form, code: Code) -> None:
    """RFC 6749 §4.1.3: the same if it is named. OAuth 2.1 §10.2: PKCE has taken its place."""
    if form.get("redirect_uri") not in (None, code.redirect_uri):
        raise _invalid("redirect_uri differs")


async def _check_verifier(verifier: str, code: Code, authority: Authority) -> None:
    """RFC 7636 §4.6. A few wrong ones do not kill a code (OAuth 2.1 §7.5.3), many do."""
    if not pkce.is_verifier(verifier):
        raise TokenError("invalid_request", "code_verifier must be 43 to 128 unreserved characters.")
    if code.tries >= CODE_TRIES:
        raise _invalid("too many wrong verifiers")
    if not pkce.proves(verifier, code.code_challenge):
        await authority.store.count_try(code.sha256)
        raise _invalid("wrong verifier")


def _check_resource(form: Form, authority: Authority) -> None:
    """RFC 8707 §2.2"""
    if canonical(form.listed("resource"), authority.issuer) is None:
        raise TokenError("invalid_target", f"The only resource here is {authority.resource}.")


def _scopes_now(grant: Grant, authority: Authority) -> tuple[str, ...]:
    """What was granted, as far as the person still has it."""
    scopes = within(grant.scopes, authority.ceiling(person_of(grant)) & grant.scopes, authority.policy())
    if not scopes:
        raise _invalid("nothing of the grant is within the ceiling")
    return scopes


async def _issue(
    code: Code, grant: Grant, client: Client, scopes: tuple[str, ...], *, authority: Authority, now: float
) -> Answer:
    minted = authority.minting.mint(
        sub=person_subject(grant.subject),
        client_id=client.id,
        scopes=scopes,
        resource=grant.resource,
        grant_id=grant.id,
        now=now,
    )
    secret = authority.random() if "refresh_token" in client.grant_types else None
    first = RefreshToken(
        sha256=fingerprint_of(secret or ""),
        grant_id=grant.id,
        client_id=client.id,
        created_at=now,
        expires_at=min(now + REFRESH_IDLE_SECONDS, grant.expires_at),
    )
    if not await authority.store.use_code(code.sha256, now, first if secret else None):
        raise await _lost(code, authority, now)
    authority.report(events.issued("token/code", client.id, person_of(grant), scopes, grant.id))
    return token_answer(minted, scopes, now, refresh_token=secret)


async def _lost(code: Code, authority: Authority, now: float) -> TokenError:
    """Somebody was faster; or it ended in between."""
    latest = await authority.store.find_code(code.sha256)
    if latest is not None and latest.used_at is not None:
        return await _replayed(code, authority, now)
    return _invalid("the code has expired or its grant is revoked")


async def _replayed(code: Code, authority: Authority, now: float) -> TokenError:
    """OAuth 2.1 §4.1.3, §7.5.3: two have the code and its verifier, so nobody keeps what it gave."""
    grant = await authority.store.find_grant(code.grant_id)
    if grant is not None and await authority.store.revoke_grant(grant.id, now):
        authority.report(events.replayed("code", grant))
    return _invalid("the code was used before")


def _invalid(detail: str) -> TokenError:
    """RFC 6749 §5.2, status 400. The same words for every reason."""
    return TokenError(
        "invalid_grant", "The code is invalid, expired or was issued to another.", detail=detail
    )


_GRANT_TYPES: dict[str, _Grant] = {
    "authorization_code": exchange,
    "refresh_token": refresh,
    "client_credentials": client_credentials,
}
