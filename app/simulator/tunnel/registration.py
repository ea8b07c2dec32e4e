"""What a cloudflared says on its control stream: Cap'n Proto calls to register, to report, to leave."""

from __future__ import annotations

import base64
import hmac
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import capnp

from app.simulator.tenant import Tenant

SCHEMA: Any = capnp.load(str(Path(__file__).with_name("registration.capnp")))
LOCATION = "sim01"


@dataclass
class Registration:
    """One connection as its connector describes it. `tunnel_id` is empty until it is accepted."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    location: str = LOCATION
    tunnel_id: str = ""
    connector_id: str = ""
    index: int = 0
    version: str = ""
    arch: str = ""
    features: list[str] = field(default_factory=list)
    local_configuration: dict[str, Any] | None = None
    """What a locally managed cloudflared reports: its ingress rules as it understood them."""
    refused: str = ""
    draining: bool = False


class RegistrationServer(SCHEMA.RegistrationServer.Server):  # type: ignore[misc]  # made at run time
    """Answers the calls of one connection and keeps `registration` true.

    `registered` and `refused` are told when it comes to that; a refused connection must be closed soon,
    because until then cloudflared waits instead of reporting.
    """

    def __init__(self, tenant: Tenant, registered: Callable[[], None], refused: Callable[[], None]) -> None:
        self.registration = Registration()
        self._tenant = tenant
        self._registered = registered
        self._refused = refused

    async def registerConnection_context(self, context: Any) -> None:
        asked = context.params
        tunnel_id = str(uuid.UUID(bytes=bytes(asked.tunnelId)))
        client = asked.options.client
        facts = self.registration
        facts.connector_id = str(uuid.UUID(bytes=bytes(client.clientId)))
        facts.index, facts.version, facts.arch = int(asked.connIndex), client.version, client.arch
        facts.features = [str(feature) for feature in client.features]
        facts.refused = self._objection(tunnel_id, asked.auth.accountTag, bytes(asked.auth.tunnelSecret))
        result = context.results.result.result
        if facts.refused:
            error = result.init("error")
            error.cause, error.retryAfter, error.shouldRetry = facts.refused, 0, False
            self._refused()
            return
        details = result.init("connectionDetails")
        details.uuid, details.locationName = uuid.UUID(facts.id).bytes, facts.location
        details.tunnelIsRemotelyManaged = self._tenant.configuration_of(tunnel_id) is not None
        facts.tunnel_id = tunnel_id
        self._registered()

    async def unregisterConnection_context(self, context: Any) -> None:
        """From now on nothing new is sent through it; what is in flight goes on."""
        self.registration.draining = True

    async def updateLocalConfiguration_context(self, context: Any) -> None:
        self.registration.local_configuration = json.loads(bytes(context.params.config))

    def _objection(self, tunnel_id: str, account_tag: str, secret: bytes) -> str:
        known = self._tenant.secret_of(tunnel_id)
        if known is None or account_tag != self._tenant.account_tag:
            return "Unauthorized: Tunnel not found"
        if not hmac.compare_digest(base64.b64decode(known), secret):
            return "Unauthorized: Invalid tunnel secret"
        return ""
