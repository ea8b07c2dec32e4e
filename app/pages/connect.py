"""How each client connects to an address: one snippet a client, to be copied as it is."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snippet:
    """`where`: the shell, or the file that `text` goes into."""

    client: str
    where: str
    text: str


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


def _json(value: object) -> str:
    return json.dumps(value, indent=2)
