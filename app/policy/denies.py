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
CLIENT = "client:"  # and the id of a client: whoever it acts for, itself too
_TOOL = "tool:"
_KINDS = ("door", "tool", "client")
_SERVICE = ".access"  # how the id of every service token of Access ends


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

    def shut(self, principal: Principal) -> bool:
        """Whether `principal` is shut off, or the client that acts for them."""
        if not self.principals or principal.kind == "lan":
            return False
        return not self.principals.isdisjoint({principal.id, f"{CLIENT}{principal.client}"})


NONE = Denies()


def target(text: str) -> str:
    """The written form of `WHO|tool:NAME|door:tunnel`. Raises BadTarget with what would do.

    A name that is none of these shuts nobody off, and whoever types it is in a hurry: it is refused.
    """
    text = text.strip()
    if text.startswith("door:") and text != DOOR:
        raise BadTarget("Only the tunnel door can be closed: door:tunnel. The LAN door is the way back in.")
    if text.lower() == "lan":
        raise BadTarget("The LAN cannot be shut off: it is the way back in. Stop the server instead.")
    name, at, domain = text.rpartition("@")
    kind, colon, rest = text.partition(":")
    named = (colon and rest and kind in _KINDS) or (at and name and domain) or text.endswith(_SERVICE)
    if not named or not text.isprintable() or " " in text:
        raise BadTarget(
            f"{text!r} is nobody: say an e-mail, a service token's id (….access), tool:NAME, or door:tunnel."
        )
    return ascii_lower(text) if at and kind not in _KINDS else text


def denies(targets: Iterable[str]) -> Denies:
    """From the stored targets."""
    listed = frozenset(targets)
    tools = frozenset(one.removeprefix(_TOOL) for one in listed if one.startswith(_TOOL))
    people = frozenset(one for one in listed if one != DOOR and not one.startswith(_TOOL))
    return Denies(people, tools, DOOR in listed)
