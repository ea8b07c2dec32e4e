"""The API on its odd days: rate limits, pages, lists that leave things out."""

from __future__ import annotations

import pytest

from app.provision.cloudflare import CloudflareRefused
from app.simulator.api import Account, ApiToken, Fault
from app.simulator.api.faults import RateLimit

from .desk import HOST, Desk, holdings


async def test_a_rate_limit_is_waited_for(desk: Desk) -> None:
    desk.run.faults += [
        Fault(3, status=429, retry_after="0.2", times=3),
        Fault(2, "POST", status=429, retry_after="0.2"),
    ]
    await desk.apply()
    assert not (await desk.plan()).steps
    assert sum(call.status == 429 for call in desk.run.journal) == 4


async def test_a_window_of_calls_is_kept_to(desk: Desk) -> None:
    desk.run.rate = RateLimit(calls=40, window=0.5)
    ticking = iter(range(10**6))
    desk.account.now = lambda: 1_800_000_000.0 + next(ticking) / 100
    await desk.apply()
    assert any(call.status == 429 for call in desk.run.journal)
    assert not (await desk.plan()).steps


async def test_a_wait_that_is_too_long_is_said_and_not_waited(desk: Desk) -> None:
    desk.run.faults.append(Fault(status=429, retry_after="900", times=9))
    with pytest.raises(CloudflareRefused, match="900 s"):
        await desk.apply()


async def test_more_than_a_page_of_policies_is_read(desk: Desk) -> None:
    _crowd(desk.account, 130)
    await desk.apply()
    pages = [call.query for call in desk.run.journal if call.path.endswith("/access/policies")]
    assert any("page=3" in query for query in pages)
    desk.files.state_file.unlink()
    assert not (await desk.plan()).steps
    await desk.down(hostname=HOST)
    assert len(desk.account.policies.all()) == 130


async def test_what_a_list_leaves_out_is_asked_for_by_its_id(desk: Desk) -> None:
    await desk.apply()
    wanted = holdings(desk.account)
    desk.account.lag = 10**6
    assert not (await desk.plan()).steps
    await desk.apply()
    assert holdings(desk.account) == wanted


async def test_an_application_that_may_not_be_seen_is_not_made_twice(desk: Desk) -> None:
    await desk.apply()
    [app] = desk.account.apps.all()
    desk.allow(ApiToken(hidden=frozenset({app["id"]})))
    desk.patience = 0.2
    with pytest.raises(CloudflareRefused, match="application_already_exists"):
        await desk.apply()
    assert desk.account.apps.all() == [app]


def _crowd(account: Account, many: int) -> None:
    for number in range(many):
        account.policies.put(
            {
                "id": f"other-{number}",
                "name": f"family {number}",
                "decision": "allow",
                "include": [{"everyone": {}}],
                "require": [],
                "exclude": [],
                "created_at": account.timestamp(),
            }
        )
