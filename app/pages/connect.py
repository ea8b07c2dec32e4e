"""How each client connects to an address: one snippet a client, to be copied as it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

_MANAGED = "An Access application with Managed OAuth: this client signs you in by OAuth and sends no headers."
_OWN_LOGIN = "Nothing more: the client signs you in, and a page here asks you what it may do."
_LOOPBACK = f"{_MANAGED} It comes back to a loopback address, which Managed OAuth must allow."

_SCRIPT = """\
import asyncio
import os

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

HEADERS = {
    "CF-Access-Client-Id": os.environ["CF_ACCESS_CLIENT_ID"],
    "CF-Access-Client-Secret": os.environ["CF_ACCESS_CLIENT_SECRET"],
}


async def main() -> None:
    async with Client(StreamableHttpTransport(%s, headers=HEADERS)) as brain:
        print((await brain.call_tool("whoami")).data)


asyncio.run(main())"""


@dataclass(frozen=True, slots=True)
class Snippet:
    """`where`: the shell, or the file or setting that `text` goes into. `needs`: what must be there first."""

    client: str
    where: str
    text: str
    needs: str = ""


def lan_snippets(url: str) -> tuple[Snippet, ...]:
    """For the LAN door: no login anywhere. `url` ends in /mcp."""
    remote = {"command": "npx", "args": ["-y", "mcp-remote", url, "--allow-http"]}
    return (
        Snippet("Claude Code", "shell", f"claude mcp add --transport http brain {url}"),
        Snippet("Claude Desktop", "claude_desktop_config.json", _json({"mcpServers": {"brain": remote}})),
        Snippet("Cursor", "~/.cursor/mcp.json", _json({"mcpServers": {"brain": {"url": url}}})),
        Snippet("VS Code", ".vscode/mcp.json", _json({"servers": {"brain": {"type": "http", "url": url}}})),
        Snippet("any stdio client", "shell", f"npx -y mcp-remote {url} --allow-http"),
    )


def tunnel_snippets(base_url: str, *, oauth: bool = False) -> tuple[Snippet, ...]:
    """For the tunnel door. No snippet holds a secret: values come from the environment.

    `oauth`: this server signs clients in itself. Then Access is not asked on the way to /mcp, so its
    service tokens open nothing there, and those ways are left out.
    """
    found = _behind_access(base_url)
    if not oauth:
        return found
    return tuple(replace(one, needs=_OWN_LOGIN) for one in found if "CF-Access-" not in one.text)


def _behind_access(base_url: str) -> tuple[Snippet, ...]:
    url = f"{base_url.rstrip('/')}/mcp"
    headers = " ".join(
        f"--header '{name}:${{{name.upper().replace('-', '_')}}}'"
        for name in ("CF-Access-Client-Id", "CF-Access-Client-Secret")
    )
    return (
        Snippet(
            "Claude",
            "Settings, Connectors, Add custom connector: the URL",
            url,
            f"{_MANAGED} Its allowed redirect URIs must hold https://claude.ai/api/mcp/auth_callback.",
        ),
        Snippet(
            "ChatGPT",
            "Settings, Apps and connectors, Create (in developer mode): the URL",
            url,
            f"{_MANAGED} Its allowed redirect URIs must hold https://chatgpt.com/connector/oauth/* and "
            "https://chatgpt.com/connector_platform_oauth_redirect.",
        ),
        Snippet(
            "Claude Code",
            "shell; then /mcp to sign in",
            f"claude mcp add --transport http brain {url}",
            _LOOPBACK,
        ),
        Snippet("Cursor", "~/.cursor/mcp.json", _json({"mcpServers": {"brain": {"url": url}}}), _LOOPBACK),
        Snippet(
            "VS Code",
            ".vscode/mcp.json",
            _json({"servers": {"brain": {"type": "http", "url": url}}}),
            f"{_LOOPBACK} Without a local browser it comes back to https://vscode.dev/redirect.",
        ),
        Snippet("any stdio client", "shell", f"npx -y mcp-remote {url}", _LOOPBACK),
        Snippet(
            "any stdio client, with a service token",
            "shell",
            f"npx -y mcp-remote {url} {headers}",
            _service_token("mcp-remote itself fills in the two variables: no secret is on the command line."),
        ),
        Snippet(
            "a script with a service token", "brain.py", _SCRIPT % json.dumps(url), _service_token("Python.")
        ),
    )


def _service_token(more: str) -> str:
    return (
        "A service token of Access in CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET, "
        "a Service Auth policy on the application, and a rule here that names the token in service_tokens. "
        f"{more}"
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2)
