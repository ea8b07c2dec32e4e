"""MCP as bytes on the wire, one POST a request, in every protocol version: no client library between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from tests.house import HOST, TestHouse

VERSIONS = (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS)
LISTS = {
    "tool": ("tools/list", "tools", "name"),
    "resource": ("resources/list", "resources", "uri"),
    "template": ("resources/templates/list", "resourceTemplates", "uriTemplate"),
    "prompt": ("prompts/list", "prompts", "name"),
}


@dataclass
class Caller:
    """Somebody at a door, who speaks one version. `token` None: at the LAN door."""

    house: TestHouse
    version: str
    token: str | None
    path: str = "/mcp"
    headers: dict[str, str] = field(default_factory=dict)
    number: int = field(default=0, init=False)

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The whole JSON-RPC answer but its id."""
        self.number += 1
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": self.version,
        }
        if self.version in MODERN_PROTOCOL_VERSIONS:
            headers["Mcp-Method"] = method
            if name := params.get("name") or params.get("uri"):
                headers["Mcp-Name"] = name
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": self.version,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        headers |= self.headers
        body = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        if self.token is None:
            answer = await self.house.lan_request("POST", self.path, json=body, headers=headers)
        else:
            answer = await self.house.tunnel_request(
                "POST", self.path, json=body, headers={**headers, "Host": HOST}, token=self.token
            )
        said: dict[str, Any] = answer.json()
        assert said.pop("id", None) == self.number, said
        return said

    async def names(self, kind: str) -> set[str]:
        """What a list of this kind shows."""
        method, part, key = LISTS[kind]
        answer = await self.ask(method)
        return {entry[key] for entry in answer["result"][part]}

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        return await self.ask("tools/call", name=name, arguments=arguments)

    async def complete(self, ref: dict[str, str], argument: str) -> dict[str, Any]:
        return await self.ask("completion/complete", ref=ref, argument={"name": argument, "value": ""})


def text_of(answer: dict[str, Any]) -> str:
    """The text of a tool's answer, or an error's message."""
    if "error" in answer:
        return str(answer["error"]["message"])
    return "".join(block.get("text", "") for block in answer["result"]["content"])
