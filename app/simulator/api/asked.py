"""One call, as the answers need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.simulator.api.account import Account
from app.simulator.api.collection import Collection, Wire
from app.simulator.api.envelope import Refused
from app.simulator.api.permissions import ApiToken


@dataclass(frozen=True)
class Asked:
    """`ids` are the variable parts of the path; `body` is None without one."""

    account: Account
    token: ApiToken
    method: str
    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: Any

    def listed(self, collection: Collection) -> list[Wire]:
        """What a list shows to this token: late, and without what it may not see."""
        shown = collection.listed(self.account.lag)
        return [value for value in shown if value["id"] not in self.token.hidden]

    def found(self, collection: Collection, name: str, otherwise: tuple[int, int, str]) -> Wire:
        """The object whose id is this part of the path. Raises Refused."""
        value = collection.get(self.ids[name])
        if value is None or value["id"] in self.token.hidden:
            raise Refused(*otherwise)
        return value
