"""How one sees that an object at Cloudflare is ours: by its name or comment, which names the host too.

An account may hold several Brains, and much that is nobody's business here. What bears no mark of this
host is never changed and never deleted.
"""

from __future__ import annotations

COMMENT = "Made by `brain tunnel`; `brain tunnel down` takes it away."


def marked(name: str, hostname: str, *, service: bool = False) -> str:
    """The name of a policy, an application or a service token. `service`: a second of the same rule."""
    return f"{name} {mark(hostname)[:-1]} service]" if service else f"{name} {mark(hostname)}"


def mark(hostname: str) -> str:
    return f"[brain-mcp {hostname}]"


def is_ours(name: object, hostname: str) -> bool:
    return str(name).endswith((f" {mark(hostname)}", f" {mark(hostname)[:-1]} service]"))


def unmarked(name: str) -> str:
    """The name as its maker knows it, for people to read."""
    plain, found, rest = name.partition(" [brain-mcp ")
    return f"{plain} (service tokens)" if found and rest.endswith(" service]") else plain


def tunnel_name(hostname: str) -> str:
    return f"brain-mcp-{hostname}"


def comment(hostname: str) -> str:
    """Of a DNS record (100 characters at most on the free plan), and a firewall rule's description."""
    return f"brain-mcp {hostname}"
