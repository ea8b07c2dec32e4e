"""The Principal: who a request acts for, once a door has let it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["person", "service", "lan"]
Door = Literal["lan", "tunnel"]


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. Made by a door, by nothing else.

    `id` is what rules, logs and notes name: the e-mail in lower case (person), the service token's
    client id (service), `lan`. `subject` is the identity provider's own id of a person; it changes
    when the person is removed and added again, so it binds sessions but never rules.
    `token_scopes` is None when no token limits the caller.
    """

    kind: Kind
    id: str
    door: Door
    email: str | None = None
    subject: str | None = None
    groups: frozenset[str] = frozenset()
    groups_complete: bool = True
    client: str | None = None
    token_scopes: frozenset[str] | None = None

    @property
    def own_space(self) -> str | None:
        """The name of the note space that is this person's alone, or None for services and the LAN."""
        return f"~{self.id}" if self.kind == "person" else None


LAN = Principal(kind="lan", id="lan", door="lan")
