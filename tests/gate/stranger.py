"""An upstream with the same things as the server itself, for tests that hold the two to the same rules."""

from __future__ import annotations

from tests.gate.everything import everything


class Marked(list[str]):
    """What the stranger ran."""

    def append(self, name: str) -> None:
        super().append(f"up {name}")


RAN = Marked()
mcp, _ = everything(RAN)
