"""POST /consent: the person's answer becomes a Grant with a code, or a refusal for the client.

The form carries an opaque id and ticks, nothing else: what was asked for is ours, so nothing can be changed
between the page and the answer (RFC 9700 §4.5).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from app.oauth import events, redirects
from app.oauth.authority import Authority
from app.oauth.errors import PageError, RedirectError
from app.oauth.forms import Form
from app.oauth.models import (
    CODE_SECONDS,
    GRANT_SECONDS,
    AuthorizationRequest,
    Client,
    Code,
    Grant,
    fingerprint_of,
)
from app.oauth.scopes import within
from app.principal import Principal

_SAME_SITE = (b"same-origin", b"none")
_OVER = "This page is too old or was answered already."


def check_origin(origin: Sequence[bytes], fetch_site: Sequence[bytes], issuer: str) -> None:
    """RFC 9700 §4.7: the answer comes from our own page. Old browsers send neither header."""
    own = all(value == issuer.encode() for value in origin)
    same = all(value in _SAME_SITE for value in fetch_site)
    if not own or not same:
        raise PageError("access_denied", "This answer did not come from the consent page.", status=403)


async def answer(form: Form, authority: Authority, *, person: Principal, browser: str, now: float) -> str:
    """Where the browser goes. Raises PageError, or RedirectError for a refusal."""
    decision = form.get("decision")
    if form.repeated({"scope"}) or decision not in ("allow", "deny"):
        raise PageError("invalid_request", "The answer cannot be read. Go back and choose again.")
    request = await _take(form.get("request"), authority, person, browser, now)
    client = await _client(request, authority)
    ticked = frozenset(form.listed("scope")).intersection(request.scopes)
    if decision == "deny" or not ticked:
        authority.report(events.declined(client.id, person, request.scopes))
        raise _denied(request, "The person said no.")
    policy, limit = authority.policy(), authority.ceiling(replace(person, client=client.id))
    scopes = frozenset(within(ticked, limit.intersection(request.scopes), policy))
    if not scopes:
        authority.report(events.refused("consent", client.id, "access_denied", "ceiling", 303, person.id))
        raise _denied(request, "This account may not use any of the requested scopes.")
    code = await grant_with_code(
        authority, request, client, person=person, scopes=scopes, now=now, remembered=False
    )
    return response(request.redirect_uri, authority.issuer, request.state, code=code)


async def pending(
    request_id: str | None, authority: Authority, *, person: Principal, browser: str, now: float
) -> tuple[AuthorizationRequest, Client]:
    """The question again, for whoever comes back to its page: a login in between loses the answer."""
    found = await authority.store.find_request(fingerprint_of(request_id or ""), now)
    if found is None:
        raise PageError("question_over", _OVER)
    if found.principal_id != person.id or found.browser_sha256 != fingerprint_of(browser):
        raise _others()
    return found, await _client(found, authority)


async def _take(
    request_id: str | None, authority: Authority, person: Principal, browser: str, now: float
) -> AuthorizationRequest:
    """RFC 9700 §4.7: once, by the person and in the browser that were asked."""
    if request_id is None:
        raise _others()
    id_sha256 = fingerprint_of(request_id)
    taken = await authority.store.take_request(
        id_sha256, principal_id=person.id, browser_sha256=fingerprint_of(browser), now=now
    )
    if taken is not None:
        return taken
    if await authority.store.find_request(id_sha256, now) is not None:
        raise _others()
    raise PageError("question_over", _OVER)


async def _client(request: AuthorizationRequest, authority: Authority) -> Client:
    """As it is now: gone, or with other redirect URIs, it gets nothing."""
    client = await authority.store.find_client(request.client_id)
    if client is None or redirects.chosen(client.redirect_uris, request.redirect_uri) is None:
        raise PageError("invalid_client", "This program is not registered here any more.")
    return client


async def grant_with_code(
    authority: Authority,
    request: AuthorizationRequest,
    client: Client,
    *,
    person: Principal,
    scopes: Collection[str],
    now: float,
    remembered: bool,
) -> str:
    """A new Grant and its code; the code."""
    grant = Grant(
        id=f"g{authority.random()[:22]}",
        principal_id=person.id,
        subject=person.subject or person.id,
        client_id=client.id,
        client_fingerprint=client.fingerprint,
        redirect_host=redirects.host_of(request.redirect_uri),
        scopes=frozenset(scopes),
        groups=person.groups,
        resource=request.resource,
        created_at=now,
        expires_at=now + GRANT_SECONDS,
    )
    code = authority.random()
    kept = Code(
        sha256=fingerprint_of(code),
        grant_id=grant.id,
        client_id=client.id,
        redirect_uri=request.redirect_uri,
        redirect_given=request.redirect_given,
        code_challenge=request.code_challenge,
        expires_at=now + CODE_SECONDS,
    )
    await authority.store.add_grant(grant, kept)
    authority.report(events.consented(grant, person, request.scopes, remembered=remembered))
    return code


def response(redirect_uri: str, issuer: str, state: str | None, *, code: str) -> str:
    """RFC 6749 §4.1.2, and the issuer (RFC 9207 §2)."""
    return redirects.with_parameters(redirect_uri, [("code", code), ("state", state), ("iss", issuer)])


def error_response(error: RedirectError, issuer: str) -> str:
    """RFC 6749 §4.1.2.1, and the issuer (RFC 9207 §2)."""
    parameters = [
        ("error", error.code),
        ("error_description", error.public),
        ("state", error.state),
        ("iss", issuer),
    ]
    return redirects.with_parameters(error.redirect_uri, parameters)


def _denied(request: AuthorizationRequest, public: str) -> RedirectError:
    return RedirectError("access_denied", public, redirect_uri=request.redirect_uri, state=request.state)


def _others() -> PageError:
    return PageError("access_denied", "This question was not asked of you in this browser.", status=403)
