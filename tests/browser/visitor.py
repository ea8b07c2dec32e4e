"""A person at Chromium, a client that waits for its answer, and the house between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import BrowserContext, ConsoleMessage, Page
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.house import PUBLIC, TestHouse
from tests.oauth.desk import CALLBACK, CHALLENGE
from tests.oauth.flow import call, exchange, register

ALICE, BOB = "alice@example.com", "bob@example.com"
ALL = ("mcp:tools:read", "mcp:tools:write", "notes:delete")
SESSION = "CF_Authorization"
STATE = "s t&te"
# What a policy of a page stops reaches the console, by Chromium itself or by this.
TELL = """addEventListener("securitypolicyviolation", event => console.error(
    `Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`))"""


@dataclass
class Client:
    """A registered client and the server at its redirect URI."""

    house: TestHouse
    redirect_uri: str = CALLBACK
    registered: dict[str, Any] = field(default_factory=dict)
    answers: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.url.path == "/callback":
            self.answers.append(dict(request.query_params))
        await PlainTextResponse("You can close this window.")(scope, receive, send)

    async def register(self) -> None:
        name, addresses = "Claude", [self.redirect_uri]
        self.registered = await register(self.house, client_name=name, redirect_uris=addresses)

    def authorize_url(self, **query: str) -> str:
        wanted = {
            "response_type": "code",
            "client_id": self.registered["client_id"],
            "redirect_uri": self.redirect_uri,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": STATE,
            "scope": " ".join(ALL),
            "resource": f"{PUBLIC}/mcp",
            **query,
        }
        return f"{PUBLIC}/authorize?{urlencode(wanted)}"

    async def tokens(self, answer: Mapping[str, str]) -> dict[str, Any]:
        """What the code of an answer is worth at /token. Raises AssertionError: nothing."""
        changed = {"redirect_uri": self.redirect_uri}
        reply = await exchange(self.house, self.registered, answer["code"], **changed)
        assert reply.status_code == 200, reply.text
        given: dict[str, Any] = reply.json()
        return given

    async def calls(self, token: str) -> dict[str, Any]:
        """What `whoami` says to the holder of `token`."""
        reply = await call(self.house, token)
        assert reply.status_code == 200, reply.text
        said: dict[str, Any] = reply.json()["result"]["structuredContent"]
        return said


@dataclass
class Visitor:
    """One context of Chromium: its own cookies. `page` is its first tab, `said` what the console got."""

    house: TestHouse
    client: Client
    context: BrowserContext
    page: Page
    said: list[str] = field(default_factory=list)

    def listen(self, message: ConsoleMessage) -> None:
        self.said.append(message.text)

    def violations(self) -> list[str]:
        return [text for text in self.said if "Content Security Policy" in text or "violat" in text]

    async def sign_in(self, email: str, page: Page | None = None) -> None:
        await (page or self.page).get_by_role("button", name=email).click()

    async def ask(self, email: str = ALICE, **query: str) -> None:
        """From the client's address through the login to the question."""
        await self.page.goto(self.client.authorize_url(**query))
        await self.sign_in(email)
        await self.page.get_by_role("button", name="Allow").wait_for()

    async def decide(self, button: str = "Allow") -> None:
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def answer(self) -> dict[str, str]:
        """What the client got; the browser is there."""
        await self.page.wait_for_url(f"{self.client.redirect_uri}?**")
        assert "You can close this window." in await self.page.content()
        return self.client.answers[-1]

    async def refusal(self) -> str:
        """The text of the page that says no."""
        await self.page.get_by_role("heading", name="What to do").wait_for()
        return await self.page.inner_text("body")
