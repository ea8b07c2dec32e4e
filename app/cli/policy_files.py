"""What all `brain policy` commands begin with: a policy from a file, and the tools that there are."""

from __future__ import annotations

import asyncio
from pathlib import Path

from app.errors import AppError
from app.policy.check import Tool
from app.policy.parse import PolicyInvalid, parse
from app.policy.rules import Policy


class Usage(AppError):
    code = "usage"


def read(path: Path) -> Policy:
    """Raises Usage, PolicyInvalid."""
    try:
        return parse(path.read_bytes())
    except OSError as problem:
        raise Usage(f"{path} cannot be read: {problem.strerror}") from None


def read_named(path: Path) -> Policy:
    """The same, and every problem says in which file it is: for commands that may read several."""
    try:
        return read(path)
    except PolicyInvalid as invalid:
        raise PolicyInvalid(f"{path}: {problem}" for problem in invalid.problems) from None


def known_tools() -> tuple[Tool, ...]:
    from app.server import catalogue  # loads the MCP framework: not for every command

    return asyncio.run(catalogue())
