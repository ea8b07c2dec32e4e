"""Cloudflare's API, with their own client: its refusals as sentences, its lists whole, its waits kept.

The SDK's generic verbs, not its typed resources: a PUT replaces everything, so what is written back must
hold the fields that no version of an SDK knows yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from cloudflare import (
    APIConnectionError,
    APIStatusError,
    AsyncCloudflare,
    DefaultAsyncHttpxClient,
    InternalServerError,
    RateLimitError,
    RequestOptions,
)

from app.errors import AppError
from app.settings.values import is_loopback

BASE = "https://api.cloudflare.com/client/v4"  # said, or the SDK would take one from the environment
PER_PAGE = 50
PATIENCE = 15.0  # seconds for what was done to be seen
AT_ONCE = 5  # calls; what a token has for five minutes is 1200
RETRIES = 4  # of what may be done twice; the client waits 0.5 to 8 s between
LONGEST_WAIT = 300.0  # seconds of `retry-after`: the API's own window is five minutes
TOKENS_PAGE = "https://dash.cloudflare.com/profile/api-tokens"
_PLACE = re.compile(r"/(accounts|zones)/[0-9a-f]{32}")

# Path below the account or the zone → the permission, in the words of the dashboard's token page.
_PERMISSIONS = (
    (r"/access/(policies|apps)", "Account → Access: Apps and Policies"),
    (
        r"/access/(organizations|identity_providers|groups)",
        "Account → Access: Organizations, Identity Providers, and Groups",
    ),
    (r"/access/service_tokens", "Account → Access: Service Tokens"),
    (r"/cfd_tunnel", "Account → Cloudflare Tunnel"),
    (r"/dns_records", "Zone → DNS"),
    (r"/rulesets", "Zone → Zone WAF"),
    (r"/zones", "Zone → Zone"),
)
_INVALID_TOKEN = frozenset({1000, 6003, 6111})
_UNAUTHORIZED = 9109  # both of a token that nobody knows, and of one that lacks a permission
_SENDABLE = re.compile("[!-~]+")  # in a header, behind `Bearer `


class CloudflareRefused(AppError):
    """It said no. `api_code` is the first of its error codes, `api_status` that of HTTP."""

    code = "cloudflare_refused"

    def __init__(self, public: str, *, api_status: int = 0, api_code: int = 0) -> None:
        super().__init__(public)
        self.api_status, self.api_code = api_status, api_code


class PermissionMissing(CloudflareRefused):
    """`permission`: the one that the API token lacks, as the dashboard calls it."""

    code = "permission_missing"

    def __init__(self, *permissions: str) -> None:
        self.permissions = permissions
        names = "\n".join(f"- {permission}" for permission in permissions)
        super().__init__(f"The API token lacks:\n{names}\nAdd that at {TOKENS_PAGE} and run this again.")


class TokenRefused(CloudflareRefused):
    """It is no token that Cloudflare knows."""

    code = "token_refused"

    def __init__(self, *, api_status: int = 0, api_code: int = 0) -> None:
        super().__init__(
            f"Cloudflare does not know the API token (CLOUDFLARE_API_TOKEN). Create one at {TOKENS_PAGE}.",
            api_status=api_status,
            api_code=api_code,
        )


class Unanswered(AppError):
    """Nobody knows whether the call took effect: no answer, or one of a broken server."""

    code = "cloudflare_unanswered"


class Cloudflare:
    """Paths are below the account where they begin so (`/access/…`, `/cfd_tunnel`), else as they are."""

    def __init__(self, client: AsyncCloudflare, *, account_id: str = "", patience: float = PATIENCE) -> None:
        """`patience`: seconds for what was done to be seen; lists of the API are behind."""
        self._client, self.account_id, self.patience = client, account_id, patience
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def get(self, path: str, **query: str) -> Any:
        """`result`; None where there is no such thing."""
        try:
            return (await self._envelope("GET", path, query=query))["result"]
        except CloudflareRefused as refused:
            if refused.api_status == 404:
                return None
            raise

    async def all(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Every page of a list."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            asked = {**query, "page": str(page), "per_page": str(PER_PAGE)}
            envelope = await self._envelope("GET", path, query=asked)
            results = envelope["result"] or []
            found += results
            pages = (envelope.get("result_info") or {}).get("total_pages")
            # Some lists know no pages, and would answer the same for ever.
            if not results or pages is None or page >= pages:
                return found
            page += 1

    async def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return (await self._envelope("PUT", path, body=body))["result"]

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return (await self._envelope("PATCH", path, body=body))["result"]

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Once: a second one could make a second object. Raises Unanswered where that is not clear."""
        return (await self._envelope("POST", path, body=body, once=True))["result"]

    async def delete(self, path: str) -> None:
        """What is gone already is gone."""
        try:
            await self._envelope("DELETE", path)
        except CloudflareRefused as refused:
            if refused.api_status != 404:
                raise

    async def until(self, seen: Callable[[], Awaitable[bool]]) -> bool:
        """Asks again and again, for as long as patience lasts, whether it is so."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.patience
        pause = 0.05
        while not await seen():
            if loop.time() >= end:
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
        return True

    async def _envelope(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        once: bool = False,
    ) -> dict[str, Any]:
        """Raises CloudflareRefused, PermissionMissing, Unanswered."""
        whole = path if path.startswith(("/zones", "/user")) else f"/accounts/{self.account_id}{path}"
        waited = 0.0
        while True:
            try:
                async with self._gate:
                    return await self._call(method, whole, query, body, once)
            except RateLimitError as limited:
                wait = _retry_after(limited)
                if waited + wait > LONGEST_WAIT:
                    raise CloudflareRefused(
                        f"Cloudflare asks to wait for {wait:.0f} s (too many calls). Run this again later: "
                        "it goes on where it stopped."
                    ) from None
                await asyncio.sleep(wait)
                waited += wait
            except (APIConnectionError, InternalServerError) as problem:
                raise Unanswered(
                    "Cloudflare did not answer. Run this again: it goes on where it stopped.",
                    detail=f"{method} {path}: {problem}",
                ) from None
            except APIStatusError as refused:
                raise _refusal(method, path, refused) from None

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        once: bool,
    ) -> dict[str, Any]:
        client, sent = self._client, dict(body or {})
        options: RequestOptions = {"max_retries": 0} if once else {}
        match method:
            case "GET":
                found = await client.get(path, cast_to=object, options={"params": dict(query or {})})
            case "POST":
                found = await client.post(path, cast_to=object, body=sent, options=options)
            case "PUT":
                found = await client.put(path, cast_to=object, body=sent)
            case "PATCH":
                found = await client.patch(path, cast_to=object, body=sent)
            case _:
                found = await client.delete(path, cast_to=object)
        return found if isinstance(found, dict) else {"result": None}


@contextlib.asynccontextmanager
async def cloudflare(
    token: str,
    *,
    account_id: str = "",
    base: str = "",
    patience: float = PATIENCE,
    retries: int = RETRIES,
) -> AsyncIterator[Cloudflare]:
    """`base`: another than Cloudflare's own. The account may become known later. Raises TokenRefused."""
    if not _SENDABLE.fullmatch(token):
        raise TokenRefused
    # No proxy stands between this machine and itself.
    direct = is_loopback(urlsplit(base).hostname or "")
    http = DefaultAsyncHttpxClient(trust_env=not direct)
    async with AsyncCloudflare(
        api_token=token, base_url=base or BASE, max_retries=retries, http_client=http
    ) as client:
        # The SDK prefers a global key of the environment to the token that it is given.
        client.api_email = client.api_key = client.user_service_key = None
        yield Cloudflare(client, account_id=account_id, patience=patience)


def permission_of(method: str, path: str) -> str:
    """The API token's permission that a call needs, as the dashboard writes it."""
    below = _PLACE.sub("", path)
    # Whoever may read a tunnel's token may run the tunnel: that takes Edit.
    edit = method != "GET" or below.endswith("/token")
    for pattern, name in _PERMISSIONS:
        if re.match(pattern, below or path):
            return f"{name}: {'Edit' if edit else 'Read'}"
    return ""


def _refusal(method: str, path: str, refused: APIStatusError) -> CloudflareRefused:
    errors = refused.body.get("errors") if isinstance(refused.body, dict) else None
    first = errors[0] if errors else {}
    code, message = int(first.get("code") or 0), str(first.get("message") or "no reason given")
    unknown = code == _UNAUTHORIZED and message.lower().startswith("invalid access token")
    if unknown or code in _INVALID_TOKEN:
        return TokenRefused(api_status=refused.status_code, api_code=code)
    if refused.status_code in (401, 403) and (permission := permission_of(method, path)):
        return PermissionMissing(permission)
    return CloudflareRefused(
        f"Cloudflare refused {method} {_PLACE.sub('', path)}: {message} "
        f"(status {refused.status_code}, code {code}).",
        api_status=refused.status_code,
        api_code=code,
    )


def _retry_after(limited: RateLimitError) -> float:
    try:
        return max(0.05, float(limited.response.headers.get("retry-after", "")))
    except ValueError:
        return 1.0
