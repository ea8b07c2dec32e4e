"""The Python SDK's `OAuthClientProvider` and FastMCP's client with `OAuth`; a person is at the browser."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
import webbrowser
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import fastmcp
import mcp_types as mt
from fastmcp.client.auth import OAuth
from fastmcp.client.transports import StreamableHttpTransport
from key_value.aio.stores.memory import MemoryStore
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from .browser import Consent
from .callback import Callback
from .place import Place
from .story import Answer, Session


class Memory(TokenStorage):
    """Tokens and registration, as long as the client runs."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


class InPython:
    """Both clients have the SDK's provider, whose context says what it holds."""

    def __init__(self, place: Place, provider: OAuthClientProvider) -> None:
        self.place, self.provider = place, provider

    async def time_passes(self) -> None:
        """The SDK refreshes by its own clock alone: to a 401 it answers with a new login."""
        self.provider.context.token_expiry_time = 1.0

    async def revoke(self) -> bool:
        context = self.provider.context
        assert context.current_tokens is not None
        assert context.client_info is not None
        token = {"token": context.current_tokens.refresh_token or ""}
        form, headers = context.prepare_token_auth(token, {})
        form.setdefault("client_id", context.client_info.client_id or "")
        answer = await self.place.person.http.post(f"{self.place.issuer}/revoke", data=form, headers=headers)
        assert answer.status_code == 200, answer.text
        return True

    def consents(self) -> list[Consent]:
        return self.place.person.consents


class SDKSession(InPython):
    def __init__(self, place: Place, provider: OAuthClientProvider, client: Client) -> None:
        super().__init__(place, provider)
        self._client = client

    async def tools(self) -> Sequence[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        got = await self._client.call_tool(tool, dict(arguments))
        return Answer(bool(got.is_error), text_of(got.content))


class FastMCPSession(InPython):
    def __init__(self, place: Place, provider: OAuthClientProvider, client: fastmcp.Client[Any]) -> None:
        super().__init__(place, provider)
        self._client = client

    async def tools(self) -> Sequence[str]:
        return [tool.name for tool in await self._client.list_tools()]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        got = await self._client.call_tool(tool, dict(arguments), raise_on_error=False)
        return Answer(got.is_error, text_of(got.content))


def text_of(content: Sequence[object]) -> str:
    return "\n".join(block.text for block in content if isinstance(block, mt.TextContent))


@contextlib.asynccontextmanager
async def python_sdk(place: Place) -> AsyncIterator[Session]:
    async with Callback.listening() as callback, contextlib.AsyncExitStack() as stack:
        opened: set[asyncio.Task[object]] = set()

        async def redirect(url: str) -> None:
            opened.add(asyncio.create_task(place.person.visit(url)))

        async def answered() -> AuthorizationCodeResult:
            got = await callback.next()
            return AuthorizationCodeResult(code=got["code"], state=got.get("state"), iss=got.get("iss"))

        provider = OAuthClientProvider(
            place.url,
            OAuthClientMetadata(client_name="Interop", redirect_uris=[AnyUrl(callback.url)]),
            Memory(),
            redirect,
            answered,
        )
        http = await stack.enter_async_context(create_mcp_http_client(auth=provider))
        server = streamable_http_client(place.url, http_client=http)
        client = await stack.enter_async_context(Client(server))
        yield SDKSession(place, provider, client)


class PersonsBrowser(webbrowser.BaseBrowser):
    """What `webbrowser.open` opens while it is registered."""

    def __init__(self, place: Place) -> None:
        super().__init__("interop")
        self._place = place
        self._opened: set[asyncio.Task[object]] = set()

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self._opened.add(asyncio.get_running_loop().create_task(self._place.person.visit(url)))
        return True


@contextlib.asynccontextmanager
async def fastmcp_client(place: Place) -> AsyncIterator[Session]:
    """As `auth="oauth"`; written out only for the provider to be in hand."""
    webbrowser.register("interop", None, PersonsBrowser(place), preferred=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using in-memory token storage")
        oauth = OAuth(place.url, token_storage=MemoryStore())
    async with fastmcp.Client(StreamableHttpTransport(place.url, auth=oauth)) as client:
        yield FastMCPSession(place, oauth, client)
