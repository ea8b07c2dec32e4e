"""Every probe, in the order of the checklist."""

from __future__ import annotations

from . import asking, carrying, discovery, exchanging, guarding, proving, registering, renewing
from .registry import PROBES, Probe
from .talk import Target

PARTS = (discovery, carrying, registering, asking, exchanging, proving, renewing, guarding)


def every() -> dict[str, Probe]:
    return dict(sorted(PROBES.items(), key=lambda one: (one[0][0], int(one[0][1:]))))


async def asked(target: Target, name: str) -> str | None:
    """None where `target` does what the requirement says, else what it did."""
    try:
        async with target.conversation() as talk:
            return None if await PROBES[name](talk) else f"not so; {talk.last}"
    except Exception as problem:  # whatever a server answers is its answer
        return f"{type(problem).__name__}: {problem}".replace("\n", " ")[:300]
