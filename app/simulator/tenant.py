"""What the edge has to know of an account, whoever keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from app.simulator.application import Application


class Tenant(Protocol):
    """Asked at every request, so a change is in force at once."""

    account_tag: str
    zone: str

    def resolves(self, host: str) -> bool:
        """Whether there is any DNS record for `host`."""
        ...

    def tunnel_of(self, host: str) -> str | None:
        """The id in a proxied CNAME to `<id>.cfargotunnel.com`, whether that tunnel exists or not."""
        ...

    def secret_of(self, tunnel_id: str) -> str | None:
        """The tunnel's secret in base64, or None where there is no such tunnel (any more)."""
        ...

    def configuration_of(self, tunnel_id: str) -> tuple[int, Mapping[str, Any]] | None:
        """Version and `config` of a remotely managed tunnel, None for a locally managed one."""
        ...

    def applications(self) -> list[Application]:
        """All Access applications, their `domain` and `policies` included."""
        ...
