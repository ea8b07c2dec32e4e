"""What real clients ask for, in their order, and with what they come back: the table of the doctor.

Sources: the clients' code and documentation, read in autumn 2026; `tests/interop` runs those that can be run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Where a client looks for the resource's metadata (RFC 9728): as the challenge says, by path, at the root.
Place = Literal["challenge", "path", "root"]
ALL: tuple[Place, ...] = ("challenge", "path", "root")


@dataclass(frozen=True, slots=True)
class McpClient:
    """`metadata`: where it looks, in this order; `exact`: it refuses a `resource` other than the URL typed.

    `challenge_only`: without `resource_metadata` in the 401 it gives up. `strict_openid`: an OpenID document
    that lacks a member of OpenID Connect Discovery §3 stops it.
    """

    name: str
    agent: str
    redirects: tuple[str, ...]
    metadata: tuple[Place, ...] = ALL
    exact: bool = False
    challenge_only: bool = False
    strict_openid: bool = False


CLIENTS = (
    McpClient(
        "Claude (web, desktop, mobile)",
        "Claude-User",
        ("https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"),
        exact=True,
    ),
    McpClient(
        "Claude Code",
        "claude-code/2.0 (cli)",
        ("http://localhost:3118/callback",),
        exact=True,
        challenge_only=True,
        strict_openid=True,
    ),
    McpClient("ChatGPT", "ChatGPT-User", ("https://chatgpt.com/connector_platform_oauth_redirect",)),
    McpClient(
        "VS Code",
        "node",
        ("https://vscode.dev/redirect", "http://127.0.0.1:33418/"),
        metadata=("path", "root"),
        exact=True,
    ),
    McpClient(
        "Cursor",
        "Cursor/1.0",
        (
            "http://localhost:8787/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "cursor://anysphere.cursor-mcp/oauth/callback",
        ),
    ),
    McpClient("MCP Inspector", "node", ("http://localhost:6274/oauth/callback",), strict_openid=True),
    McpClient("mcp-remote", "node", ("http://localhost:3335/oauth/callback",), strict_openid=True),
    McpClient("Python SDK, FastMCP", "python-httpx/0.28.1", ("http://localhost:8085/callback",)),
    McpClient("Codex CLI", "codex-cli", ("http://127.0.0.1:8085/callback/brain",)),
)

AGENTS = tuple(dict.fromkeys(client.agent for client in CLIENTS))
