"""GET /authorize: from a query to a question for the person, or an answer for the client.

Until client and redirect URI are known to be right, errors are for the person alone (RFC 6749 §4.1.2.1).
Nothing here uses anything up: a client may look at the same address before the browser does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.oauth import pkce, redirects
from app.oauth.authority import Authority
from app.oauth.consent import grant_with_code, response
from app.oauth.errors import PageError, RedirectCode, RedirectError
from app.oauth.forms import Form
from app.oauth.models import REQUEST_SECONDS, AuthorizationRequest, Client, Grant, fingerprint_of
from app.oauth.resource import canonical
from app.oauth.scopes import BadScope, default_scopes, requested, within
from app.principal import Principal

_START_AGAIN = "Start again in the program that sent you here."


@dataclass(frozen=True, slots=True)
class Question:
    """For the person: a request that waits. `id` is known to this page alone."""

    id: str
    request: AuthorizationRequest
    client: Client
    wanted: tuple[str, ...]
    earlier: tuple[Grant, ...]


async def authorize(
    query: Form, authority: Authority, *, person: Principal, browser: str, now: float
) -> Question | str:
    """What to ask, or where to send the browser at once. Raises PageError or RedirectError.

    `person`: whom the door let in. `browser`: the value of this browser's cookie, old or new.
    """
    check_person(person)
    client = await _client(query, authority)
    redirect_uri = _redirect_uri(query, client)
    earlier = await authority.store.approved(person.id, client.id)
    checked = _Checked(query, authority, client, redirect_uri)
    try:
        question = checked.question(person, browser, earlier, now)
        return await _remembered(question, checked.prompt(), authority, person, now)
    except RedirectError as error:
        # RFC 9700 §4.11.2: a client that nobody here ever approved must not turn us into its redirector.
        if earlier or client.origin == "operator" or redirects.is_loopback(redirect_uri):
            raise
        raise PageError(error.code, f"{error.public} {_START_AGAIN}") from None


def check_person(person: Principal) -> None:
    """Consent is a person's: a service token has nobody to ask."""
    if person.kind != "person":
        raise PageError("access_denied", "Only a person who is signed in can give consent.", status=403)


async def _client(query: Form, authority: Authority) -> Client:
    """RFC 6749 §4.1.2.1: missing or unknown is never redirected."""
    ids = [value for value in query.listed("client_id") if value]
    if len(ids) != 1:
        raise PageError("invalid_request", f"The request must name one client_id. {_START_AGAIN}")
    if "://" in ids[0] and authority.documents is not None:
        return await _published(await authority.documents(ids[0]), authority)
    client = await authority.store.find_client(ids[0])
    if client is None:
        raise PageError("invalid_client", "This program is not registered here. It has to register again.")
    return client


async def _published(client: Client, authority: Authority) -> Client:
    """Where the other endpoints look for it too, even if it was deleted since its document was fetched."""
    if await authority.store.find_client(client.id) is None:
        await authority.store.put_document_client(client)
    return client


def _redirect_uri(query: Form, client: Client) -> str:
    """RFC 9700 §4.1.3: exactly one of the registered ones."""
    asked = [value for value in query.listed("redirect_uri") if value]
    if len(query.listed("redirect_uri")) > 1:
        raise PageError("invalid_request", f"The request names more than one redirect_uri. {_START_AGAIN}")
    redirect_uri = redirects.chosen(client.redirect_uris, asked[0] if asked else None)
    if redirect_uri is None:
        raise PageError(
            "invalid_request",
            "The program wants the answer at an address that it has not registered. Nothing was sent there.",
        )
    return redirect_uri


async def _remembered(
    question: Question, prompt: frozenset[str], authority: Authority, person: Principal, now: float
) -> Question | str:
    """The answer that was given before, if it was to just this question; else the question."""
    request, client = question.request, question.client
    covered = any(_covers(grant, client, request, now) for grant in question.earlier)
    if covered and prompt.isdisjoint({"consent", "select_account", "login"}):
        code = await grant_with_code(
            authority, request, client, person=person, scopes=request.scopes, now=now, remembered=True
        )
        return response(request.redirect_uri, authority.issuer, request.state, code=code)
    if "none" in prompt:  # OpenID Connect Core §3.1.2.6
        raise RedirectError(
            "consent_required",
            "The person has to be asked.",
            redirect_uri=request.redirect_uri,
            state=request.state,
        )
    await authority.store.add_request(request)
    return question


def _covers(grant: Grant, client: Client, request: AuthorizationRequest, now: float) -> bool:
    """Whether consent was given to just this, so that it need not be asked again.

    RFC 8252 §8.6: never where any program may sit at the redirect URI. A client that changed its name,
    addresses or keys is another one.
    """
    return (
        redirects.is_claimed(request.redirect_uri)
        and grant.redirect_host == redirects.host_of(request.redirect_uri)
        and grant.client_fingerprint == client.fingerprint
        and grant.resource == request.resource
        and grant.scopes.issuperset(request.scopes)
        and grant.revoked_at is None
        and grant.expires_at > now
    )


class _Checked:
    """The rest of the query, check by check. Errors go to the client."""

    def __init__(self, query: Form, authority: Authority, client: Client, redirect_uri: str) -> None:
        self._query, self._authority, self._client = query, authority, client
        self._redirect_uri = redirect_uri
        states = query.listed("state")
        self._state = (states[0] or None) if len(states) == 1 else None

    def question(self, person: Principal, browser: str, earlier: tuple[Grant, ...], now: float) -> Question:
        self.form()
        self.response_type()
        self.extensions()
        self.grant_type()
        challenge = self.challenge()
        resource = self.resource()
        wanted = self.scopes()
        secret = self._authority.random()
        request = AuthorizationRequest(
            id_sha256=fingerprint_of(secret),
            principal_id=person.id,
            browser_sha256=fingerprint_of(browser),
            client_id=self._client.id,
            redirect_uri=self._redirect_uri,
            redirect_given=self._query.get("redirect_uri") is not None,
            scopes=self.offered(wanted, person),
            resource=resource,
            state=self._state,
            code_challenge=challenge,
            expires_at=now + REQUEST_SECONDS,
        )
        return Question(secret, request, self._client, wanted, earlier)

    def error(self, code: RedirectCode, public: str) -> RedirectError:
        return RedirectError(code, public, redirect_uri=self._redirect_uri, state=self._state)

    def form(self) -> None:
        # RFC 6749 §3.1: no parameter twice; RFC 8707 §2 allows `resource` to be.
        if self._query.repeated({"resource"}):
            raise self.error("invalid_request", "A parameter is repeated.")

    def response_type(self) -> None:
        # RFC 6749 §3.1.1, OAuth 2.1 §4: the code alone.
        wanted = self._query.get("response_type")
        if wanted is None:
            raise self.error("invalid_request", "response_type is missing.")
        if wanted != "code":
            raise self.error("unsupported_response_type", "Only response_type=code is supported.")

    def extensions(self) -> None:
        # RFC 9101, OpenID Connect Core §6: not understood, so not to be passed over.
        if self._query.get("request") is not None:
            raise self.error("request_not_supported", "The parameter request is not supported.")
        if self._query.get("request_uri") is not None:
            raise self.error("request_uri_not_supported", "The parameter request_uri is not supported.")
        if self._query.get("response_mode") not in (None, "query"):
            raise self.error("invalid_request", "Only response_mode=query is supported.")

    def grant_type(self) -> None:
        if "authorization_code" not in self._client.grant_types:
            raise self.error("unauthorized_client", "The client is not registered for this.")

    def challenge(self) -> str:
        # RFC 7636 §4.4.1: required, and S256; without a method it would be `plain`.
        challenge = self._query.get("code_challenge")
        if challenge is None or self._query.get("code_challenge_method") != pkce.METHOD:
            raise self.error("invalid_request", "PKCE with code_challenge_method=S256 is required.")
        if not pkce.is_challenge(challenge):
            raise self.error("invalid_request", "code_challenge is not 43 characters of base64url.")
        return challenge

    def resource(self) -> str:
        # RFC 8707 §2.1
        resource = canonical(self._query.listed("resource"), self._authority.issuer)
        if resource is None:
            raise self.error("invalid_target", f"The only resource here is {self._authority.resource}.")
        return resource

    def scopes(self) -> tuple[str, ...]:
        policy = self._authority.policy()
        default = default_scopes(policy, self._authority.challenge)
        try:
            return requested(self._query.get("scope"), policy, default)
        except BadScope as error:
            raise self.error("invalid_scope", str(error)) from None

    def offered(self, wanted: tuple[str, ...], person: Principal) -> tuple[str, ...]:
        """Requested ∩ ceiling; nothing left is a denial, for asking again cannot help."""
        limit = self._authority.ceiling(replace(person, client=self._client.id))
        offered = within(wanted, limit, self._authority.policy())
        if not offered:
            raise self.error("access_denied", "This account may not use any of the requested scopes.")
        return offered

    def prompt(self) -> frozenset[str]:
        return frozenset((self._query.get("prompt") or "").split())
