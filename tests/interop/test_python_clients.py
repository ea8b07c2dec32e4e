"""The Python clients live their whole story: O10, and what it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from .place import place
from .python_clients import fastmcp_client, python_sdk
from .story import STEPS, live


@pytest.mark.parametrize("challenge", ["minimal", "full"])
async def test_O10_python_sdk_steps_up_refreshes_and_logs_in_again(tmp_path: Path, challenge: str) -> None:
    """`full`: the client asks for all, and the person ticks reading alone."""
    async with place(tmp_path, OAUTH_CHALLENGE=challenge) as here, python_sdk(here) as session:
        told = await live(here, session)
    assert told.good, told.steps
    assert tuple(told.steps) == STEPS


async def test_O10_fastmcp_client_steps_up_refreshes_and_logs_in_again(tmp_path: Path) -> None:
    async with place(tmp_path) as here, fastmcp_client(here) as session:
        told = await live(here, session)
    assert told.good, told.steps
    assert tuple(told.steps) == STEPS
