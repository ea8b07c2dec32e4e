"""Fetching what strangers name: public addresses only, checked first and then connected to, and little of it.

The name is resolved once; the connection goes to an address that was checked, so a second answer of a
hostile name server changes nothing (DNS rebinding). TLS is still verified for the name.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx2

from app.oauth.documents import Address, Hosts, address_of

TIMEOUT = 5.0
TRIES = 3  # addresses of one name

Resolve = Callable[[str, int], Awaitable[Collection[str]]]

# What `is_global` lets pass, at least in some versions of Python (RFC 6890 and its registry).
_SPECIAL = tuple(
    map(
        ip_network,
        (
            *("192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            *("2001::/23", "2002::/16", "3fff::/20"),
        ),
    )
)
_UNICAST = ip_network("2000::/3")  # all other IPv6: mapped, NAT64, link-local, ULA, multicast …


class FetchFailed(Exception):
    """Why there is nothing; for the log."""


@dataclass(frozen=True, slots=True)
class Fetched:
    body: bytes
    max_age: int | None


def is_public(text: str) -> bool:
    """Whether `text` is an address on the internet, and not one of a special-purpose registry."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return False
    if not address.is_global or any(address in network for network in _SPECIAL):
        return False
    return isinstance(address, IPv4Address) or address in _UNICAST


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of the name, as the system sees them. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Fetcher:
    """GET, and 200 or nothing. No redirects, no cookies, no proxy, no connection kept.

    `schemes` and `allowed` are other than the defaults in tests alone.
    """

    def __init__(
        self,
        *,
        hosts: Hosts | None = None,
        resolve: Resolve = resolve,
        allowed: Callable[[str], bool] = is_public,
        schemes: Collection[str] = ("https",),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.hosts, self.schemes = hosts or Hosts(), schemes
        self._resolve, self._allowed = resolve, allowed
        # A connection is for one name: kept, it could serve another name at the same address.
        self._http = httpx2.AsyncClient(
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            verify=tls or ssl.create_default_context(),
            limits=httpx2.Limits(max_connections=20, max_keepalive_connections=0),
            timeout=TIMEOUT,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, address: Address, *, max_bytes: int) -> Fetched:
        """Raises FetchFailed, within TIMEOUT."""
        if not self.hosts.admit(address.host):
            raise FetchFailed(f"{address.host} is not among the hosts that may be asked")
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._first_that_answers(address, max_bytes)
        except TimeoutError:
            raise FetchFailed(f"{address.host} did not answer within {TIMEOUT:.0f} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as problem:
            raise FetchFailed(f"{address.host}: {type(problem).__name__}") from problem

    async def get_url(self, url: str, *, max_bytes: int) -> Fetched:
        """Raises FetchFailed or DocumentRefused."""
        return await self.get(address_of(url, self.schemes), max_bytes=max_bytes)

    async def _first_that_answers(self, address: Address, max_bytes: int) -> Fetched:
        checked = [one for one in await self._resolve(address.host, address.port) if self._allowed(one)]
        if not checked:
            raise FetchFailed(f"{address.host} has no public address")
        checked.sort(key=lambda one: ":" in one)  # not every host has IPv6
        *others, last = checked[:TRIES]
        for one in others:
            try:
                return await self._get(address, one, max_bytes)
            except httpx2.ConnectError:
                continue
        return await self._get(address, last, max_bytes)

    async def _get(self, address: Address, connect_to: str, max_bytes: int) -> Fetched:
        url = httpx2.URL(address.url).copy_with(host=connect_to)
        default = {"https": 443, "http": 80}[address.scheme]
        host = address.host if address.port == default else f"{address.host}:{address.port}"
        headers = {
            "Host": host,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "brain-mcp",
        }
        extensions = {"sni_hostname": address.host}  # also the name that the certificate must have
        async with self._http.stream("GET", url, headers=headers, extensions=extensions) as answer:
            _check(answer)
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > max_bytes:
                    raise FetchFailed(f"{address.host} sent more than {max_bytes} bytes")
            return Fetched(bytes(body), _max_age(answer.headers.get("cache-control", "")))


def _check(answer: httpx2.Response) -> None:
    if answer.status_code != 200:  # a redirect is not followed either
        raise FetchFailed(f"HTTP {answer.status_code}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise FetchFailed("the answer is compressed")
    media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise FetchFailed(f"the answer is {media[:60] or 'of no type'}, not JSON")


def _max_age(cache_control: str) -> int | None:
    """RFC 9111 §5.2.2.1; None where nothing is said, 0 where it must not be kept."""
    directives = [part.strip().lower() for part in cache_control.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0
    for directive in directives:
        name, _, value = directive.partition("=")
        if name == "max-age" and value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
    return None
