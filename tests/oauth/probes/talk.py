"""One conversation with an authorization server: what a client and a browser do, over HTTP alone."""

from __future__ import annotations

import html
import re
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from json import loads
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import httpx2

from app.oauth.pkce import challenge_of

CALLBACK = "https://client.example/callback"
VERIFIER = "v" * 43
STATE = "s t&te"
READ, WRITE = "mcp:tools:read", "mcp:tools:write"
READ_TOOL, WRITE_TOOL = "list_notes", "create_note"
LATEST, LEGACY = "2026-07-28", "2025-06-18"
ALICE, BOB = "alice@example.com", "bob@example.com"

Registered = Mapping[str, Any]


class Target(Protocol):
    """A server. `issuer` and `resource` are what its operator configured, `http` is where it listens."""

    name: str
    version: str

    def conversation(self) -> AbstractAsyncContextManager[Talk]:
        """Of a client that was never here, from a network of its own."""


@dataclass
class Talk:
    """`signed_in`: the headers of a person's browser, by e-mail; none where the server has no persons."""

    http: httpx2.AsyncClient
    issuer: str
    resource: str
    now: Callable[[], float]
    signed_in: Callable[[str], dict[str, str]]
    _cookies: dict[str, str] = field(default_factory=dict)
    _last: httpx2.Response | None = None

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.http.get(path, **more)

    async def document(self, path: str = "oauth-authorization-server") -> dict[str, Any]:
        answer = await self.get(f"/.well-known/{path}")
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        found: dict[str, Any] = answer.json()
        return found

    # Registration

    async def try_register(self, **changes: Any) -> httpx2.Response:
        """A public client; a member that is None is left out."""
        body = {
            "client_name": "Probe",
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": f"{READ} {WRITE}",
            **changes,
        }
        return await self.http.post(
            "/register", json={name: value for name, value in body.items() if value is not None}
        )

    async def register(self, **changes: Any) -> dict[str, Any]:
        answer = await self.try_register(**changes)
        assert answer.status_code == 201, f"registration: {answer.status_code} {answer.text[:200]}"
        found: dict[str, Any] = answer.json()
        return found

    async def confidential(self, method: str = "client_secret_post") -> dict[str, Any]:
        return await self.register(token_endpoint_auth_method=method)

    async def known(self, **changes: Any) -> dict[str, Any]:
        """A client that the person has allowed before."""
        client = await self.register(**changes)
        await self.code(client)
        return client

    # The browser

    async def ask(self, client: Registered, *, who: str = ALICE, **query: Any) -> httpx2.Response:
        """GET /authorize. A parameter that is None is left out, a list is repeated."""
        wanted: dict[str, Any] = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": (client.get("redirect_uris") or [CALLBACK])[0],
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "state": STATE,
            "scope": READ,
            "resource": self.resource,
            **query,
        }
        answer = await self.http.get("/authorize", params=pairs(wanted), headers=self._browser(who))
        self._keep(answer)
        return answer

    async def allow(self, client: Registered, *, who: str = ALICE, **query: Any) -> httpx2.Response:
        """`ask`, and where there is a form, all of it ticked and sent with consent."""
        page = await self.ask(client, who=who, **query)
        if page.status_code != 200:
            return page
        action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
        assert action is not None, "a page without a form"
        form = {
            "request": re.findall(r'name="request" value="([^"]+)"', page.text),
            "scope": re.findall(r'name="scope" value="([^"]+)"', page.text),
            "decision": "allow",
        }
        return await self.http.post(
            html.unescape(action[1]),
            data=form,
            headers={**self._browser(who), "Origin": self.issuer, "Sec-Fetch-Site": "same-origin"},
        )

    async def code(self, client: Registered, **query: Any) -> str:
        answer = await self.allow(client, **query)
        found = sent_back(answer)
        assert "code" in found, f"no code: {answer.status_code} {found} {answer.text[:200]}"
        return found["code"]

    @property
    def last(self) -> str:
        """The last answer, without anything secret."""
        if self._last is None:
            return ""
        asked, error = self._last.request, ""
        if self._last.is_closed:
            error = str(body(self._last).get("error", ""))
        return f"{asked.method} {asked.url.path} -> {self._last.status_code} {error}".strip()

    async def heard(self, answer: httpx2.Response) -> None:
        self._last = answer

    def _browser(self, who: str) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return {**self.signed_in(who), **({"Cookie": cookies} if cookies else {})}

    def _keep(self, answer: httpx2.Response) -> None:
        for value in answer.headers.get_list("set-cookie"):
            name, _, rest = value.partition("=")
            self._cookies[name] = rest.partition(";")[0]

    # The client

    async def call(self, path: str, client: Registered, **form: Any) -> httpx2.Response:
        """POST as `client`, authenticated as it is registered."""
        secret, named, headers = client.get("client_secret"), {"client_id": client["client_id"]}, {}
        if secret and client["token_endpoint_auth_method"] == "client_secret_post":
            named["client_secret"] = secret
        elif secret:
            named, headers = {}, basic(client["client_id"], secret)
        return await self.http.post(path, data=fields({**named, **form}), headers=headers)

    async def exchange(self, client: Registered, code: str | None, **form: Any) -> httpx2.Response:
        given = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
        redirect = {"redirect_uri": client["redirect_uris"][0], "resource": self.resource}
        return await self.call("/token", client, **{**given, **redirect, **form})

    async def refresh(self, client: Registered, token: str | None, **form: Any) -> httpx2.Response:
        given = {"grant_type": "refresh_token", "refresh_token": token}
        return await self.call("/token", client, **{**given, **form})

    async def tokens(self, client: Registered, **query: Any) -> dict[str, Any]:
        answer = await self.exchange(client, await self.code(client, **query))
        assert answer.status_code == 200, f"token: {answer.status_code} {answer.text[:200]}"
        found: dict[str, Any] = answer.json()
        return found

    # The resource

    async def mcp(
        self, method: str = "tools/list", token: str | None = None, *, version: str = LATEST, **params: Any
    ) -> httpx2.Response:
        sent = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": version}
        if version == LATEST:
            sent["Mcp-Method"] = method
            if "name" in params:
                sent["Mcp-Name"] = params["name"]
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return await self.http.post("/mcp", json=body, headers=sent)

    async def tool(self, name: str, token: str, *, version: str = LATEST) -> httpx2.Response:
        arguments = {"title": "a", "text": "b"} if name == WRITE_TOOL else {}
        return await self.mcp("tools/call", token, version=version, name=name, arguments=arguments)

    async def with_header(self, headers: Any, *, path: str = "/mcp", verb: str = "POST") -> httpx2.Response:
        """A well-formed request whose `Authorization` is in `headers`, or nowhere."""
        sent = [("Accept", "application/json, text/event-stream"), ("MCP-Protocol-Version", LEGACY)]
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        more = {"json": body} if verb == "POST" else {}
        return await self.http.request(verb, path, headers=[*sent, *headers], **more)  # type: ignore[arg-type]

    async def alive(self, token: str) -> bool:
        status = (await self.mcp(token=token)).status_code
        assert status in (200, 401), f"/mcp: {status}"
        return status == 200


def pairs(query: Mapping[str, Any]) -> list[tuple[str, str | int | float | bool | None]]:
    return [
        (name, one)
        for name, value in query.items()
        if value is not None
        for one in (value if isinstance(value, list) else [value])
    ]


def fields(form: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in form.items() if value is not None}


def basic(client_id: str, secret: str, scheme: str = "Basic") -> dict[str, str]:
    return {"Authorization": f"{scheme} {b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


def sent_back(answer: httpx2.Response) -> dict[str, str]:
    """What a redirect brings to the client; nothing where it is none, or where a parameter comes twice."""
    if answer.status_code not in (302, 303):
        return {}
    found = parse_qs(urlsplit(answer.headers["location"]).query, keep_blank_values=True)
    return {} if any(len(values) != 1 for values in found.values()) else {n: v[0] for n, v in found.items()}


def told(answer: httpx2.Response, *errors: str) -> bool:
    """The client gets one of `errors` by redirect."""
    return sent_back(answer).get("error") in errors


def stays(answer: httpx2.Response) -> bool:
    """The person is told, and the browser sent nowhere."""
    return answer.status_code == 400 and "location" not in answer.headers


def refused(answer: httpx2.Response, error: str, status: int = 400) -> bool:
    return answer.status_code == status and body(answer).get("error") == error


def body(answer: httpx2.Response) -> dict[str, Any]:
    """The JSON object of an answer, empty where it is another thing."""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return {}
    value = answer.json()
    return value if isinstance(value, dict) else {}


def part(token: str, number: int) -> dict[str, Any]:
    """Header (0) or claims (1) of a JWT, unverified."""
    pieces = token.split(".")
    assert len(pieces) == 3, "the token is no JWT"
    value: dict[str, Any] = loads(urlsafe_b64decode(pieces[number] + "=" * (-len(pieces[number]) % 4)))
    return value


def opaque(token: str) -> bool:
    """Whether nobody but its server can read it: what JWTs must say, it need not."""
    return token.count(".") != 2


def for_us(t: Talk, token: str) -> bool:
    return opaque(token) or part(token, 1)["aud"] in (t.resource, [t.resource])


def challenge(answer: httpx2.Response) -> dict[str, str]:
    """The parameters of the one Bearer challenge."""
    values = answer.headers.get_list("www-authenticate")
    assert len(values) == 1, f"{len(values)} challenges"
    scheme, _, rest = values[0].partition(" ")
    pair = r'[a-z_]+="(?:[^"\\]|\\.)*"'
    assert scheme == "Bearer" and re.fullmatch(rf"{pair}(?:, ?{pair})*", rest), values[0]  # noqa: PT018
    return dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', rest))
