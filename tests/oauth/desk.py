"""The authorization server in hand: real store, real routes, a clock, and a door that says who is there."""

from __future__ import annotations

import html
import re
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from app.audit.events import Event
from app.doors.http import LetIn, Receive, Scope, Send, access_token
from app.oauth.authority import Authority
from app.oauth.endpoints import Routes, routes
from app.oauth.minting import Minted, TokenClaims, TokenRefused
from app.oauth.models import ACCESS_SECONDS, Client
from app.oauth.pkce import challenge_of
from app.oauth.views import ConsentView, ErrorView
from app.pages import security_headers
from app.policy.denies import NONE, Denies
from app.policy.parse import parse
from app.policy.rules import Policy
from app.principal import Principal
from app.store.grants import SqlOAuth
from app.store.open import open_store
from app.store.revocations import SqlRevocations

ISSUER = "https://brain.example.com"
RESOURCE = f"{ISSUER}/mcp"
CALLBACK = "https://client.example/callback"
VERIFIER = "v" * 43
CHALLENGE = challenge_of(VERIFIER)
START = 1_800_000_000.0

POLICY = """
version = 1

[scopes."notes:delete"]
description = "Delete and restore notes"
tools = ["delete_note", "restore_note"]

[[rule]]
name = "writers"
emails = ["alice@example.com"]
scopes = ["mcp:tools:write", "notes:delete", "brain:admin"]

[[rule]]
name = "readers"
emails = ["bob@example.com"]
scopes = ["mcp:tools:read"]

[[rule]]
name = "machines"
service_tokens = ["client:nightly"]
scopes = ["mcp:tools:write"]
"""


def person(email: str, subject: str = "") -> Principal:
    return Principal("person", email, "tunnel", email=email, subject=subject or f"id-of-{email}")


ALICE, BOB, EVE = (person(f"{name}@example.com") for name in ("alice", "bob", "eve"))


class Clock:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += seconds


class Mint:
    """Tokens that only this object can read."""

    def __init__(self) -> None:
        self._made: dict[str, TokenClaims] = {}

    def mint(
        self, *, sub: str, client_id: str, scopes: Collection[str], resource: str, grant_id: str, now: float
    ) -> Minted:
        token, jti, end = f"at.{secrets.token_urlsafe(16)}", secrets.token_urlsafe(16), now + ACCESS_SECONDS
        self._made[token] = TokenClaims(
            sub, client_id, frozenset(scopes), resource, grant_id, jti, now, end, "k1"
        )
        return Minted(token, jti, end)

    def read(self, token: str, now: float) -> TokenClaims:
        claims = self._made.get(token)
        if claims is None or claims.expires_at <= now:
            raise TokenRefused("malformed")
        return claims


class PlainPages:
    """As little as is correct: everything escaped, one form, no script."""

    def __init__(self) -> None:
        self.views: list[ConsentView] = []
        self.errors: list[ErrorView] = []

    def consent(self, view: ConsentView) -> bytes:
        self.views.append(view)
        lines = "".join(
            f'<input type="checkbox" name="scope" value="{html.escape(scope.name)}" checked>'
            for scope in view.scopes
        )
        return (
            f"<!doctype html><title>Consent</title><h1>{html.escape(view.client_name)}</h1>"
            f"<p>{html.escape(view.redirect_host)} {html.escape(view.person)}</p>"
            f'<form method="post" action="{html.escape(view.action)}">'
            f'<input type="hidden" name="request" value="{html.escape(view.request_id)}">{lines}'
            '<button name="decision" value="allow">Allow</button>'
            '<button name="decision" value="deny">Deny</button></form>'
        ).encode()

    def error(self, view: ErrorView) -> bytes:
        self.errors.append(view)
        return (
            f"<!doctype html><title>{html.escape(view.code)}</title><p>{html.escape(view.sentence)}".encode()
        )

    def headers(self, form_action: Sequence[str], *, forms: bool) -> dict[str, str]:
        return security_headers(form_action, forms=forms)


@dataclass
class Desk:
    """`anybody`: a program. `browser`: one with cookies, in which `who` is signed in."""

    authority: Authority
    store: SqlOAuth
    clock: Clock
    pages: PlainPages
    events: list[Event]
    found: Routes
    anybody: httpx2.AsyncClient
    browser: httpx2.AsyncClient
    who: Principal | None = ALICE
    denied: Denies = NONE
    rules: Policy = field(default_factory=Policy)

    def new_browser(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url=ISSUER)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The door: signed-in paths need somebody, and only the door says who."""
        path = scope["path"]
        if path in self.found.signed_in and self.who is not None:
            user = LetIn(self.who, access_token(self.who), "request-1", "")
            await self.found.signed_in[path]({**scope, "user": user}, receive, send)
            return
        known = {**self.found.public, **self.found.signed_in}
        await known[path]({**scope, "request_id": "request-1"}, receive, send)

    # What clients and people do

    async def register(self, **body: Any) -> dict[str, Any]:
        wanted = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", **body}
        answer = await self.anybody.post("/register", json=wanted)
        assert answer.status_code == 201, answer.text
        registered: dict[str, Any] = answer.json()
        return registered

    async def ask(
        self, client: Mapping[str, Any], *, browser: httpx2.AsyncClient | None = None, **query: Any
    ) -> httpx2.Response:
        """GET /authorize; a parameter that is None is left out."""
        uris = client.get("redirect_uris") or [CALLBACK]
        wanted = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": uris[0],
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "s t&te",
            **query,
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        return await (browser or self.browser).get("/authorize", params=given)

    async def answer(
        self, page: httpx2.Response, decision: str = "allow", *, headers: Any = None, **changed: Any
    ) -> httpx2.Response:
        """POST /consent, as a browser would."""
        form = {**fields(page), "decision": decision, **changed}
        return await self.browser.post(
            "/consent",
            data={name: value for name, value in form.items() if value is not None},
            headers={"origin": ISSUER, "sec-fetch-site": "same-origin", **(headers or {})},
        )

    async def code(self, client: Mapping[str, Any], **query: Any) -> str:
        page = await self.ask(client, **query)
        assert page.status_code == 200, page.text
        return answered(await self.answer(page))["code"]

    async def exchange(self, client: Mapping[str, Any], code: str, **form: Any) -> httpx2.Response:
        return await self.token(
            client, grant_type="authorization_code", code=code, **{"code_verifier": VERIFIER, **form}
        )

    async def refresh(self, client: Mapping[str, Any], token: str, **form: Any) -> httpx2.Response:
        return await self.token(client, grant_type="refresh_token", refresh_token=token, **form)

    async def token(self, client: Mapping[str, Any], **form: Any) -> httpx2.Response:
        return await self.call("/token", client, **form)

    async def call(self, path: str, client: Mapping[str, Any], **form: Any) -> httpx2.Response:
        headers, named = self._credentials(client)
        wanted = {**named, **form}
        data = {name: value for name, value in wanted.items() if value is not None}
        return await self.anybody.post(path, data=data, headers=headers)

    def _credentials(self, client: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        secret, client_id = client.get("client_secret"), client["client_id"]
        if secret is None:
            return {}, {"client_id": client_id}
        if client["token_endpoint_auth_method"] == "client_secret_post":
            return {}, {"client_id": client_id, "client_secret": secret}
        joined = b64encode(f"{client_id}:{secret}".encode()).decode()
        return {"authorization": f"Basic {joined}"}, {}

    async def tokens(self, client: Mapping[str, Any], **query: Any) -> dict[str, Any]:
        answer = await self.exchange(client, await self.code(client, **query))
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def machine(self, client_id: str = "nightly", **changed: Any) -> dict[str, Any]:
        """One of the operator's own clients."""
        made = {
            "id": client_id,
            "origin": "operator",
            "name": client_id,
            "redirect_uris": (),
            "auth_methods": frozenset({"client_secret_basic", "client_secret_post"}),
            "grant_types": frozenset({"client_credentials"}),
            "created_at": self.clock(),
            "fingerprint": "f",
            "secret_sha256": sha256(b"machine-secret").hexdigest(),
            "scopes": frozenset({"mcp:tools:read"}),
            **changed,
        }
        await self.store.add_client(Client(**made))
        return {
            "client_id": client_id,
            "client_secret": "machine-secret",
            "token_endpoint_auth_method": "client_secret_basic",
        }

    async def active(self, token: str) -> bool:
        """Whether a resource server would take it."""
        observer = await self.store.find_client("observer")
        if observer is None:
            await self.machine("observer")
        answer = await self.anybody.post(
            "/introspect", data={"token": token}, auth=("observer", "machine-secret")
        )
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["active"])


def fields(page: httpx2.Response) -> dict[str, Any]:
    """What the form of a consent page would send, all ticked."""
    request = re.search(r'name="request" value="([^"]+)"', page.text)
    assert request is not None, page.text
    return {"request": request[1], "scope": re.findall(r'name="scope" value="([^"]+)"', page.text)}


def answered(reply: httpx2.Response) -> dict[str, str]:
    """The parameters that a redirect brings to the client; each once."""
    assert reply.status_code == 303, reply.text
    parameters = parse_qs(urlsplit(reply.headers["location"]).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in parameters.values()), parameters
    return {name: values[0] for name, values in parameters.items()}


def is_page(reply: httpx2.Response, status: int = 400) -> bool:
    """An error that nobody but the person gets to see."""
    html_type = reply.headers["content-type"] == "text/html; charset=utf-8"
    return reply.status_code == status and html_type and "location" not in reply.headers


def is_refused(reply: httpx2.Response, code: str, status: int = 400) -> bool:
    """A JSON error of the token endpoint and its like."""
    body = reply.json()
    plain = (
        set(body) <= {"error", "error_description"} and reply.headers["content-type"] == "application/json"
    )
    return (
        plain
        and (reply.status_code, body["error"]) == (status, code)
        and reply.headers["cache-control"] == "no-store"
    )


@asynccontextmanager
async def opened(file: Path) -> AsyncIterator[Desk]:
    clock, pages, events = Clock(), PlainPages(), list[Event]()
    store = await open_store(file, now=clock, new_id=lambda: secrets.token_hex(8))
    revocations = SqlRevocations(store.database.path, clock)
    oauth, policy = SqlOAuth(store.database), parse(POLICY)
    authority = Authority(
        issuer=ISSUER,
        store=oauth,
        policy=lambda: desk.rules,
        denies=lambda: desk.denied,
        minting=Mint(),
        revocations=revocations,
        random=lambda: secrets.token_urlsafe(32),
        successor=successor,
        report=events.append,
    )
    found = routes(
        authority,
        pages=pages,
        now=clock,
        count=lambda event: None,
        login_origin="https://acme.cloudflareaccess.com",
    )
    anybody = browser = httpx2.AsyncClient()
    desk = Desk(authority, oauth, clock, pages, events, found, anybody, browser, rules=policy)
    async with desk.new_browser() as desk.browser, desk.new_browser() as desk.anybody:
        yield desk
    revocations.close()
    await store.close()


def successor(token: str) -> str:
    key = b"a key that is not in the database"
    return urlsafe_b64encode(digest(key, token.encode(), "sha256")).rstrip(b"=").decode()
