"""Tunnels that need no cloudflared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from app.simulator.api import Account


@dataclass
class Ways(httpx2.AsyncBaseTransport):
    """A connector in this process: it goes by the ingress rules that the account keeps, as cloudflared does.

    `connected`: whether it runs. `host_header`: as `httpHostHeader` in a rule.
    """

    account: Account
    connected: bool = True
    host_header: str = ""
    _origin: httpx2.AsyncHTTPTransport = field(
        default_factory=lambda: httpx2.AsyncHTTPTransport(trust_env=False)
    )

    def way_to(self, tunnel_id: str) -> httpx2.AsyncBaseTransport | None:
        return self if self.connected and self.account.tunnel(tunnel_id) else None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.extensions["target"].decode("latin-1").partition("?")[0]
        rule = self._rule(request.headers["host"], path)
        guard = rule.get("originRequest", {}).get("access", {})
        if guard.get("required") and "cf-access-jwt-assertion" not in request.headers:
            return empty(403)
        service = str(rule["service"])
        if service.startswith("http_status:"):
            return empty(int(service.partition(":")[2]))
        if self.host_header:
            request.headers["host"] = self.host_header
        onward = httpx2.Request(
            request.method,
            service,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return await self._origin.handle_async_request(onward)

    async def aclose(self) -> None:
        await self._origin.aclose()

    def _rule(self, host: str, path: str) -> Mapping[str, Any]:
        """The first that matches, of the newest configuration."""
        newest = max(self.account.configurations.values(), key=lambda kept: int(kept["version"]))
        rules: list[Mapping[str, Any]] = newest["config"]["ingress"]
        return next(
            rule
            for rule in rules
            if rule.get("hostname", host) == host and re.search(rule.get("path", ""), path)
        )


def empty(status: int) -> httpx2.Response:
    return httpx2.Response(status, stream=httpx2.ByteStream(b""))
