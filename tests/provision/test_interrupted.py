"""An `apply` that dies anywhere, and what the next one makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from app.provision.cloudflare import Unanswered
from app.provision.wanted import Intent
from app.simulator.api import Fault

from .desk import Desk, desk, holdings, intended

OAUTH = intended(topology="oauth")
WRITES = "POST|PUT|PATCH|DELETE"


async def _after_one_whole_apply(folder: Path, intent: Intent) -> tuple[object, int, int]:
    async with desk(folder) as whole:
        await whole.apply(intent)
        return holdings(whole.account), len(whole.run.writes()), len(whole.run.journal)


@pytest.mark.parametrize(
    ("intent", "when"),
    [(intended(), "before"), (intended(), "after"), (OAUTH, "after")],
    ids=["access-before", "access-after", "oauth-after"],
)
async def test_killed_at_any_change_it_goes_on_to_the_same_end(
    tmp_path: Path, intent: Intent, when: Literal["before", "after"]
) -> None:
    wanted, writes, _ = await _after_one_whole_apply(tmp_path / "whole", intent)
    for nth in range(1, writes + 1):
        async with desk(tmp_path / f"{nth}") as one:
            one.patience = 0.3
            assert await one.killed_at(Fault(nth, WRITES, when=when), intent)
            await one.apply(intent)
            assert holdings(one.account) == wanted, f"killed {when} change {nth}"
            assert not (await one.plan(intent)).steps


async def test_killed_at_any_look_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    wanted, _, calls = await _after_one_whole_apply(tmp_path / "whole", intended())
    for nth in range(1, calls, 5):
        async with desk(tmp_path / f"{nth}") as one:
            assert await one.killed_at(Fault(nth))
            await one.apply()
            assert holdings(one.account) == wanted, f"killed at call {nth}"


async def test_killed_again_and_again_it_comes_to_an_end(tmp_path: Path) -> None:
    wanted, _, _ = await _after_one_whole_apply(tmp_path / "whole", intended())
    async with desk(tmp_path / "one") as one:
        one.patience = 0.3
        while await one.killed_at(Fault(1, WRITES, when="after")):
            pass
        assert holdings(one.account) == wanted


@pytest.mark.parametrize("status", [0, 500, 502], ids=["cut", "500", "502"])
async def test_an_answer_that_is_lost_makes_nothing_twice(tmp_path: Path, status: int) -> None:
    wanted, writes, _ = await _after_one_whole_apply(tmp_path / "whole", intended())
    for nth in range(1, writes + 1):
        async with desk(tmp_path / f"{nth}") as one:
            one.patience = 0.5
            one.run.faults.append(Fault(nth, WRITES, when="after", status=status))
            try:
                await one.apply()
            except Unanswered:
                await one.apply()
            assert holdings(one.account) == wanted, f"answer {nth} lost"


async def test_lists_that_lag_make_nothing_twice(tmp_path: Path) -> None:
    wanted, writes, _ = await _after_one_whole_apply(tmp_path / "whole", intended())
    for nth in range(1, writes + 1):
        async with desk(tmp_path / f"{nth}") as one:
            one.account.lag = 12
            assert await one.killed_at(Fault(nth, WRITES, when="after"))
            await one.apply()
            assert holdings(one.account) == wanted, f"killed after change {nth}"


async def test_lists_that_still_show_what_is_gone_do_not_keep_down_from_its_end(desk: Desk) -> None:
    desk.account.lag = 30
    before = holdings(desk.account)
    await desk.apply()
    await desk.down()
    assert holdings(desk.account) == before
    assert desk.account.policies.listed(desk.account.lag)


async def test_what_was_made_twice_is_found_and_taken_away(desk: Desk) -> None:
    await desk.apply()
    wanted = holdings(desk.account)
    policy = desk.account.policies.all()[0]
    desk.account.policies.put({**policy, "id": desk.account.new_uuid(), "created_at": "2020-01-01T00:00:00Z"})
    [step] = (await desk.plan()).steps
    assert (step.action, step.why) == ("delete", "there is another of this name")
    await desk.apply()
    assert holdings(desk.account) == wanted


async def test_down_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    async with desk(tmp_path / "whole") as whole:
        await whole.apply()
        whole.told.clear()
        await whole.down()
        deletions = len(whole.told)
    for nth in range(1, deletions + 1):
        async with desk(tmp_path / f"{nth}") as one:
            before = holdings(one.account)
            await one.apply()
            one.run.faults.append(Fault(nth, "DELETE", when="after"))
            with pytest.raises(Unanswered):
                await one.down()
            await one.down()
            assert holdings(one.account) == before, f"cut at deletion {nth}"
