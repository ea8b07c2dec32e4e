"""Clients by the documents they publish: fetched once for all who ask, kept for a while, errors never."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from app.errors import AppError
from app.oauth.documents import DocumentRefused, address_of, client_of, is_key_set
from app.oauth.guarded import Fetcher, FetchFailed
from app.oauth.models import Client
from app.strict import json_object

log = logging.getLogger("brain")

MAX_BYTES = 5 * 1024  # the draft's own limit for a document
MAX_KEYS_BYTES = 64 * 1024
FRESH_AT_LEAST, FRESH_AT_MOST = 300.0, 86_400.0
KEYS_FRESH = 300.0
REMEMBERED = 1000
PER_HOST, PER_ALL, WINDOW = 10, 120, 60.0  # fetches, in so many seconds

Put = Callable[[Client], Awaitable[None]]


class ClientKeysUnavailable(AppError):
    """Whether the client is who it says cannot be known now; 503 costs it nothing."""

    code = "temporarily_unavailable"
    status = 503


@cache
def pinned() -> Mapping[str, bytes]:
    """Copies of well-known documents, for hosts that keep clouds and homes out (claude.ai does)."""
    listed = json.loads((Path(__file__).parent / "pinned_clients.json").read_text("utf-8"))
    return {document["client_id"]: json.dumps(document).encode() for document in listed}


class DocumentClients:
    """`put` keeps a client where the other endpoints find it; they never fetch."""

    def __init__(
        self,
        fetcher: Fetcher,
        put: Put,
        *,
        now: Callable[[], float],
        copies: Mapping[str, bytes] | None = None,
    ) -> None:
        self._fetcher, self._put, self._now = fetcher, put, now
        self._copies = pinned() if copies is None else copies
        self._known: OrderedDict[str, tuple[Client, float]] = OrderedDict()
        self._keys: OrderedDict[str, tuple[Mapping[str, Any], float]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Any]] = {}
        self._limit = Limit()

    async def __call__(self, client_id: str) -> Client:
        """The client whose id is this URL. Raises DocumentRefused; a bad URL is never fetched."""
        address = address_of(client_id, self._fetcher.schemes)
        if not self._fetcher.hosts.admit(address.host):
            raise DocumentRefused("The operator does not accept programs of this host.", status=403)
        known = self._known.get(client_id)
        if known is not None and self._now() < known[1]:
            return known[0]
        client: Client = await self._once(client_id, lambda: self._load(client_id))
        return client

    async def keys(self, client: Client) -> Mapping[str, Any]:
        """The key set of a client. Raises ClientKeysUnavailable."""
        if client.jwks is not None:
            return client.jwks
        uri = client.jwks_uri or ""
        known = self._keys.get(uri)
        if known is not None and self._now() < known[1]:
            return known[0]
        keys: Mapping[str, Any] = await self._once(uri, lambda: self._load_keys(uri))
        return keys

    async def close(self) -> None:
        for task in list(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self._fetcher.close()

    async def _once(self, url: str, load: Callable[[], Awaitable[Any]]) -> Any:
        """All who ask at the same time wait for one fetch; nobody who hangs up ends it for the others."""
        task = self._asking.get(url)
        if task is None:
            task = self._asking[url] = asyncio.ensure_future(load())
            task.add_done_callback(lambda done: self._asked(url, done))
        return await asyncio.shield(task)

    def _asked(self, url: str, done: asyncio.Task[Any]) -> None:
        self._asking.pop(url, None)
        if not done.cancelled():
            done.exception()  # seen, also where everybody hung up

    async def _load(self, url: str) -> Client:
        now = self._now()
        try:
            client, fresh = await self._fetched(url)
        except (FetchFailed, DocumentRefused) as problem:
            log.info("the client document %s cannot be used: %s", url, problem)
            if url in self._copies:
                client, fresh = client_of(self._copies[url], url, now=now), FRESH_AT_LEAST
            elif isinstance(problem, DocumentRefused):
                raise
            else:
                raise DocumentRefused(
                    "The program's document could not be fetched. Try again later.", detail=str(problem)
                ) from problem
        await self._put(client)
        _remember(self._known, url, (client, now + fresh))
        return client

    async def _fetched(self, url: str) -> tuple[Client, float]:
        address = address_of(url, self._fetcher.schemes)
        self._limit.take(address.host, self._now())
        fetched = await self._fetcher.get(address, max_bytes=MAX_BYTES)
        client = client_of(fetched.body, url, now=self._now())
        return client, min(max(fetched.max_age or 0, FRESH_AT_LEAST), FRESH_AT_MOST)

    async def _load_keys(self, uri: str) -> Mapping[str, Any]:
        try:
            address = address_of(uri, self._fetcher.schemes)
            self._limit.take(address.host, self._now())
            fetched = await self._fetcher.get(address, max_bytes=MAX_KEYS_BYTES)
            keys = json_object(fetched.body)
        except (FetchFailed, DocumentRefused, ValueError) as problem:
            raise _keys_unavailable(f"{uri}: {problem}") from problem
        if not is_key_set(keys):
            raise _keys_unavailable(f"{uri}: not a set of public keys")
        _remember(self._keys, uri, (keys, self._now() + KEYS_FRESH))
        return keys


class Limit:
    """So many fetches of one host, and of all, in a window. What is refused is not counted."""

    def __init__(self) -> None:
        self._since = float("-inf")
        self._fetches: dict[str, int] = {}

    def take(self, host: str, now: float) -> None:
        """Raises DocumentRefused (429)."""
        if not 0 <= now - self._since < WINDOW:
            self._since, self._fetches = now, {}
        if self._fetches.get(host, 0) >= PER_HOST or sum(self._fetches.values()) >= PER_ALL:
            wait = math.ceil(self._since + WINDOW - now)
            raise DocumentRefused(
                "Too many programs were looked up. Try again in a minute.", status=429, retry_after=wait
            )
        self._fetches[host] = self._fetches.get(host, 0) + 1


def _remember(where: OrderedDict[str, Any], url: str, value: Any) -> None:
    where[url] = value
    where.move_to_end(url)
    if len(where) > REMEMBERED:
        where.popitem(last=False)


def _keys_unavailable(detail: str) -> ClientKeysUnavailable:
    return ClientKeysUnavailable(
        "The client's keys cannot be had at the moment.", detail=detail, retry_after=10
    )
