"""What all `brain policy` commands begin with: a policy from a file, and the tools that there are."""

from __future__ import annotations

import asyncio
from pathlib import Path

from app.errors import AppError
from app.policy.check import Tool
from app.policy.parse import PolicyInvalid, parse
from app.policy.rules import Policy
from app.settings import Settings
from app.upstreams.file import read_upstreams, seen_addresses, seen_tools, unseen


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


def known_tools(settings: Settings | None = None) -> tuple[Tool, ...]:
    """The Brain's, and with `settings` those that upstreams have shown so far. Raises UpstreamsInvalid."""
    return asyncio.run(tools_known(settings))


async def tools_known(settings: Settings | None) -> tuple[Tool, ...]:
    """`known_tools` for a command that has a loop already."""
    from app.catalogue import catalogue  # loads the MCP framework: not for every command

    if settings is None:
        return await catalogue()
    found = read_upstreams(settings.upstreams_file)
    own = await catalogue(notes=found.brain)
    return (*own, *seen_tools(settings.data_dir, found, {tool.name for tool in own}))


def note_templates() -> tuple[str, ...]:
    from app.notes.tools import NOTE_URI, REVISION_URI

    return NOTE_URI, REVISION_URI


def known_resources(settings: Settings) -> tuple[str, ...] | None:
    """Resources and templates, the Brain's and those that upstreams listed last. None as long as one of them
    was never reached. Raises UpstreamsInvalid."""
    if not_seen(settings):
        return None
    found = read_upstreams(settings.upstreams_file)
    own = note_templates() if found.brain else ()
    return (*own, *seen_addresses(settings.data_dir, found))


def not_seen(settings: Settings) -> tuple[str, ...]:
    """What the names of those upstreams' tools begin with that were never reached yet."""
    return unseen(settings.data_dir, read_upstreams(settings.upstreams_file))
