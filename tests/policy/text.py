"""Policies as the tests write them, and the example of the documentation."""

from __future__ import annotations

from pathlib import Path

from app.policy.parse import PolicyInvalid, parse
from app.policy.rules import Policy
from app.principal import Principal

# Word for word what the documentation of the policy file shows.
EXAMPLE = (Path(__file__).parent / "example.toml").read_text()


def rule(selector: str, scopes: str = '["mcp:tools:read"]', more: str = "") -> str:
    return f"[[rule]]\n{selector}\nscopes = {scopes}\n{more}\n"


def policy(*parts: str) -> Policy:
    return parse("version = 1\n" + "\n".join(parts))


def problems(*parts: str) -> tuple[str, ...]:
    """What `parse` has to say against the parts; empty when nothing."""
    try:
        policy(*parts)
    except PolicyInvalid as invalid:
        return invalid.problems
    return ()


def person(email: str = "eve@example.com", *, groups: tuple[str, ...] = ()) -> Principal:
    return Principal("person", email, "tunnel", email, groups=frozenset(groups), groups_complete=True)


def service(name: str = "nightly.access") -> Principal:
    return Principal("service", name, "tunnel")
