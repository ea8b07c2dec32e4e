from __future__ import annotations

from .__main__ import python_clients, run
from .ways import NAMES


async def test_every_python_client_gets_along_on_every_way() -> None:
    outcomes = await run(python_clients(), list(NAMES))
    assert len(outcomes) == 20
    assert not [(*at, one.problem) for at, one in outcomes.items() if one.problem]
