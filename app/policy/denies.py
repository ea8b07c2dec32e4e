"""The kill switch: who and what is shut off at once, whatever the policy gives.

The one negative thing beside the policy, for the operator alone. The LAN door and `lan` cannot be shut
off with it: the way back in stays open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.access.claims import ascii_lower
from app.errors import AppError
from app.principal import Principal

DOOR = "door:tunnel"
_TOOL = "tool:"


class BadTarget(AppError):
    code = "usage"


class Denied(AppError):
    """For a principal that is shut off. Not 401: signing in again would not help."""

    code = "denied"
    status = 403

    def __init__(self, principal: Principal) -> None:
        super().__init__("The operator of this server has shut off your access. Ask them.")
        self.principal = principal


class DoorClosed(AppError):
    code = "door_closed"
    status = 503

    def __init__(self) -> None:
        super().__init__("The operator has closed this door for the time being.", retry_after=60)


@dataclass(frozen=True, slots=True)
class Denies:
    """What is shut off now: principals by id, tools by name, the tunnel door."""

    principals: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    tunnel: bool = False

    def __bool__(self) -> bool:
        return bool(self.principals or self.tools or self.tunnel)


NONE = Denies()


def target(text: str) -> str:
    """The written form of `WHO|tool:NAME|door:tunnel`. Raises BadTarget with what would do."""
    text = text.strip()
    if text.startswith("door:") and text != DOOR:
        raise BadTarget("Only the tunnel door can be closed: door:tunnel. The LAN door is the way back in.")
    if text == "lan":
        raise BadTarget("The LAN cannot be shut off: it is the way back in. Stop the server instead.")
    if not text or text == _TOOL or not text.isprintable() or " " in text:
        raise BadTarget("Say whom or what: an e-mail, a service token's id, tool:NAME, or door:tunnel.")
    return text if text.startswith(("door:", _TOOL)) else ascii_lower(text) if "@" in text else text


def denies(targets: Iterable[str]) -> Denies:
    """From the stored targets."""
    listed = frozenset(targets)
    tools = frozenset(one.removeprefix(_TOOL) for one in listed if one.startswith(_TOOL))
    people = frozenset(one for one in listed if one != DOOR and not one.startswith(_TOOL))
    return Denies(people, tools, DOOR in listed)
