"""/authorize and /consent: what a person sees in a browser, behind the login of Cloudflare Access."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from app.audit.events import Report
from app.errors import AppError
from app.oauth import consent, redirects
from app.oauth.authority import Authority
from app.oauth.authorize import Question, authorize, check_person
from app.oauth.errors import PageError, RedirectError
from app.oauth.forms import BadForm, Form
from app.oauth.limits import Limits
from app.oauth.models import Grant
from app.oauth.opened import Listed, ListedTool, opened
from app.oauth.recording import for_request, refused
from app.oauth.views import ConsentView, ErrorView, Pages, ScopeView
from app.oauth.wire import Asked, Reply, redirect_reply

QUERY_MAX = 32 * 1024
_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{22,128}")


class Screens:
    def __init__(
        self,
        authority: Authority,
        pages: Pages,
        limits: Limits,
        now: Callable[[], float],
        *,
        count: Report,
        login_origin: str | None,
        tools: Listed,
    ) -> None:
        self._authority, self._pages, self._limits, self._now = authority, pages, limits, now
        self._count, self._login_origin, self._tools = count, login_origin, tools
        # BCP "cookies": __Host- where there is TLS; browsers keep Secure cookies off plain http.
        self._secure = authority.issuer.startswith("https://")
        self._cookie = "__Host-brain-browser" if self._secure else "brain-browser"

    async def authorize(self, asked: Asked) -> Reply:
        person, authority = asked.user.principal, for_request(self._authority, asked)
        known = self._browser(asked)
        browser = known or authority.random()
        query = Form()
        try:
            check_person(person)
            self._limits.ask(person.id)
            query = _query(asked)
            found = await authorize(query, authority, person=person, browser=browser, now=self._now())
        except AppError as error:
            self._refused(authority, "authorize", query, error, person.id)
            raise
        if isinstance(found, str):
            return redirect_reply(found)
        return await self._page(asked, found, None if known else browser)

    async def again(self, asked: Asked) -> Reply:
        """GET /consent: whoever had to log in again before the answer was taken."""
        person, authority = asked.user.principal, for_request(self._authority, asked)
        check_person(person)
        request_id, browser = _query(asked).get("request"), self._browser(asked) or ""
        request, client = await consent.pending(
            request_id, authority, person=person, browser=browser, now=self._now()
        )
        earlier = await authority.store.approved(person.id, client.id)
        question = Question(request_id or "", request, client, request.scopes, earlier)
        return await self._page(asked, question, None)

    async def answer(self, asked: Asked) -> Reply:
        """POST /consent"""
        person, authority = asked.user.principal, for_request(self._authority, asked)
        form = Form()
        try:
            check_person(person)
            consent.check_origin(asked.header(b"origin"), asked.header(b"sec-fetch-site"), authority.issuer)
            form = await asked.form()
            location = await consent.answer(
                form, authority, person=person, browser=self._browser(asked) or "", now=self._now()
            )
        except BadForm as error:
            raise PageError("invalid_request", str(error)) from None
        except RedirectError:
            raise  # the person's own answer, on record as such
        except AppError as error:
            self._refused(authority, "consent", form, error, person.id)
            raise
        return redirect_reply(location)

    def error(self, asked: Asked, error: AppError) -> Reply:
        """Every refusal that a browser gets."""
        if isinstance(error, RedirectError):
            return redirect_reply(consent.error_response(error, self._authority.issuer))
        view = ErrorView(error.status, error.code, error.public, error.retry_after, asked.trace)
        headers = _html(self._pages.headers((), forms=False))
        if error.retry_after is not None:
            headers["retry-after"] = str(error.retry_after)
        return Reply(error.status, headers, self._pages.error(view))

    async def _page(self, asked: Asked, question: Question, new_browser: str | None) -> Reply:
        view = self._view(asked, question, await self._tools())
        # Chrome holds the redirects after a form against form-action, also that to the login.
        after = [redirects.source_of(question.request.redirect_uri)]
        if self._login_origin is not None:
            after.append(self._login_origin)
        headers = _html(self._pages.headers(after, forms=True))
        if new_browser is not None:
            secure = "; Secure" if self._secure else ""
            headers["set-cookie"] = f"{self._cookie}={new_browser}; Path=/; HttpOnly; SameSite=Lax{secure}"
        return Reply(200, headers, self._pages.consent(view))

    def _view(self, asked: Asked, question: Question, tools: Sequence[ListedTool]) -> ConsentView:
        request, client = question.request, question.client
        policy = self._authority.policy()
        had = _given(question.earlier)
        return ConsentView(
            client_name=client.name,
            client_id=client.id,
            client_host=urlsplit(client.id).netloc if client.origin == "document" else None,
            client_uri=client.uri,
            redirect_uri=request.redirect_uri,
            redirect_host=redirects.host_of(request.redirect_uri),
            loopback=redirects.is_loopback(request.redirect_uri),
            person=request.principal_id,
            scopes=tuple(
                ScopeView(name, policy.describe(name), name not in had, opened(policy, name, tools))
                for name in request.scopes
            ),
            withheld=tuple(name for name in question.wanted if name not in request.scopes),
            known=bool(question.earlier),
            resource=request.resource,
            action=f"/consent?request={question.id}",
            request_id=question.id,
            expires_at=request.expires_at,
            trace=asked.trace,
            by_operator=client.origin == "operator",
        )

    def _browser(self, asked: Asked) -> str | None:
        """The value of our cookie, if this browser has one that could be ours."""
        for header in asked.header(b"cookie"):
            for part in header.decode("latin-1").split(";"):
                name, _, value = part.strip().partition("=")
                if name == self._cookie and _COOKIE_VALUE.fullmatch(value):
                    return value
        return None

    def _refused(self, authority: Authority, operation: str, form: Form, error: AppError, who: str) -> None:
        refused(authority.report, self._count, operation, form.get("client_id") or "", error, who)


def _query(asked: Asked) -> Form:
    """Raises PageError."""
    if len(asked.raw_query) > QUERY_MAX:
        raise PageError("invalid_request", "The address is too long.", status=414)
    try:
        return asked.query()
    except BadForm as error:
        raise PageError("invalid_request", str(error)) from None


def _given(earlier: tuple[Grant, ...]) -> frozenset[str]:
    return frozenset().union(*(grant.scopes for grant in earlier))


def _html(headers: dict[str, str]) -> dict[str, str]:
    return {
        **headers,
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "x-frame-options": "DENY",
    }
