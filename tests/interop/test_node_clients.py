"""The TypeScript SDKs live their story (O10, O11), and the official suite asks the authorization server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nodejs import installed, node

from .node_clients import HERE, typescript
from .place import place
from .story import STEPS, live
from .suite import failing, outcome

pytestmark = pytest.mark.skipif(
    not installed(HERE), reason="needs npm, once: python -m tests.interop installs the clients"
)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_O10_typescript_sdk_2_steps_up_refreshes_and_logs_in_again(tmp_path: Path, mode: str) -> None:
    async with place(tmp_path) as here, typescript(here, node(HERE), "v2", mode) as session:
        told = await live(here, session)
    assert told.good, told.steps
    assert tuple(told.steps) == STEPS


async def test_O11_typescript_sdk_1_cannot_step_up_and_goes_on_working(tmp_path: Path) -> None:
    async with place(tmp_path) as here, typescript(here, node(HERE), "v1", "legacy") as session:
        told = await live(here, session, can_step_up=False)
    assert told.good, told.steps
    assert told.steps["step-up"].startswith("no: ")


async def test_O11_typescript_sdk_1_writes_where_the_first_challenge_names_all(tmp_path: Path) -> None:
    async with (
        place(tmp_path, OAUTH_CHALLENGE="full") as here,
        typescript(here, node(HERE), "v1", "legacy") as session,
    ):
        here.person.generous = True
        told = await live(here, session, full=True)
    assert told.good, told.steps
    assert tuple(told.steps) == STEPS


async def test_the_official_suite_passes(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        code, found = await outcome(here, node(HERE))
    assert code == 0
    assert not any(failing(found).values()), found
