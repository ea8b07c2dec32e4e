"""Service tokens: made once, kept in a file, rotated with an overlap, deleted, and watched for their end."""

from __future__ import annotations

import json
import stat

import pytest

from app.provision import service_tokens
from app.provision.apply import OtherHostname
from app.provision.cloudflare import PermissionMissing, Unanswered
from app.provision.files import BadName
from app.provision.service_tokens import NoServiceToken, ServiceTokenInUse, ServiceTokenTaken, ending
from app.simulator.api import ApiToken, Fault
from app.simulator.api.permissions import EVERY_PERMISSION, SERVICE_TOKENS

from .desk import HOST, POLICY, Desk, intended

DAY = 86400.0


async def test_a_service_token_whose_answer_is_lost_is_not_made_twice(desk: Desk) -> None:
    desk.run.faults.append(Fault(1, "POST", path="service_tokens", when="after"))
    async with desk.api() as api:
        kept = await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
    [token] = desk.account.service_tokens.all()
    assert kept.client_id == token["client_id"]
    assert _opens(desk, "nightly")


async def _makes_one_unanswered(desk: Desk) -> None:
    desk.run.faults.append(Fault(1, "POST", when="after", times=9))
    desk.patience = 0.2
    desk.account.lag = 10**6
    async with desk.api() as api:
        with pytest.raises(Unanswered):
            await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
    desk.run.faults.clear()
    desk.account.lag = 0


async def test_killed_while_it_makes_a_service_token_it_takes_that_one_over(desk: Desk) -> None:
    await _makes_one_unanswered(desk)
    async with desk.api() as api:
        await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
    assert len(desk.account.service_tokens.all()) == 1
    assert _opens(desk, "nightly")


async def test_a_token_is_kept_in_a_file_for_its_owner_alone(desk: Desk) -> None:
    async with desk.api() as api:
        kept = await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
    assert stat.S_IMODE(kept.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.file.parent.stat().st_mode) == 0o700
    assert _opens(desk, "nightly")
    assert "client_secret" not in desk.files.state_file.read_text()
    assert _secret(desk, "nightly") not in repr(kept)


async def test_a_token_that_the_policy_names_gets_in_by_service_auth(desk: Desk) -> None:
    async with desk.api() as api:
        kept = await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
    rule = f'[[rule]]\nname = "ci"\nservice_tokens = ["{kept.client_id}"]\nscopes = ["mcp:tools:read"]'
    await desk.apply(intended(POLICY + rule))
    [app] = desk.account.apps.all()
    [token] = desk.account.service_tokens.all()
    policy = desk.account.policies_of(app["id"])[-1]
    assert policy["decision"] == "non_identity"
    assert policy["include"] == [{"service_token": {"token_id": token["id"]}}]
    await desk.down()
    assert not desk.account.service_tokens.all()


async def test_a_name_is_taken_once(desk: Desk) -> None:
    async with desk.api() as api:
        await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
        with pytest.raises(ServiceTokenTaken, match="rotate nightly"):
            await service_tokens.create(api, desk.files, "nightly", hostname=HOST)


@pytest.mark.parametrize("name", ["../up", "", "a b", "a/b", ".hidden"])
async def test_a_name_that_is_no_name_of_a_file_is_refused(desk: Desk, name: str) -> None:
    async with desk.api() as api:
        with pytest.raises(BadName):
            await service_tokens.create(api, desk.files, name, hostname=HOST)
    assert not desk.run.writes()


async def test_rotated_both_secrets_are_good_for_a_while(desk: Desk) -> None:
    async with desk.api() as api:
        first = await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
        old = _secret(desk, "nightly")
        desk.clock[0] += 300 * DAY
        later = desk.clock[0] + 2 * 3600
        kept = await service_tokens.rotate(api, desk.files, "nightly", hostname=HOST, old_until=later)
    new = _secret(desk, "nightly")
    assert kept.client_id == first.client_id
    assert new != old
    assert desk.account.service_token(kept.client_id, old)
    assert desk.account.service_token(kept.client_id, new)
    desk.clock[0] += 2 * 3600
    assert not desk.account.service_token(kept.client_id, old)
    desk.clock[0] += 364 * DAY
    assert desk.account.service_token(kept.client_id, new)  # it has another year


async def test_what_is_not_ours_is_not_rotated(desk: Desk) -> None:
    desk.account.service_tokens.put({"id": "t", "name": "nightly", "client_id": "1.access"})
    async with desk.api() as api:
        with pytest.raises(NoServiceToken, match="there is: none"):
            await service_tokens.rotate(api, desk.files, "nightly", hostname=HOST, old_until=desk.clock[0])


async def test_a_deleted_token_opens_nothing_and_nothing_is_kept_of_it(desk: Desk) -> None:
    async with desk.api() as api:
        kept = await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
        await service_tokens.create(api, desk.files, "weekly", hostname=HOST)
        deleted = await service_tokens.delete(api, desk.files, "nightly", hostname=HOST)
    assert (deleted.client_id, deleted.file) == (kept.client_id, kept.file)
    assert [token["name"] for token in desk.account.service_tokens.all()] == [f"weekly [brain-mcp {HOST}]"]
    assert not kept.file.exists()
    assert _opens(desk, "weekly")
    state = desk.files.state()
    assert state is not None
    assert list(state.ids["service-token"]) == [f"weekly [brain-mcp {HOST}]"]


async def test_what_is_not_ours_is_neither_listed_nor_deleted(desk: Desk) -> None:
    for name in ("nightly", "nightly [brain-mcp other.example.com]"):
        desk.account.service_tokens.put({"id": name, "name": name, "client_id": "1.access"})
    async with desk.api() as api:
        assert await service_tokens.listed(api, desk.files, (), hostname=HOST) == ()
        with pytest.raises(NoServiceToken, match="there is: none"):
            await service_tokens.delete(api, desk.files, "nightly", hostname=HOST)
    assert len(desk.account.service_tokens.all()) == 2
    assert not desk.run.writes()


async def test_the_secret_of_another_hostname_is_neither_written_over_nor_deleted(desk: Desk) -> None:
    other = "other.example.com"
    async with desk.api() as api:
        await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
        for act in (service_tokens.create, service_tokens.delete):
            with pytest.raises(OtherHostname, match=HOST):
                await act(api, desk.files, "nightly", hostname=other)
        with pytest.raises(OtherHostname, match=HOST):
            await service_tokens.rotate(api, desk.files, "nightly", hostname=other, old_until=0.0)
    assert _opens(desk, "nightly")


async def test_a_token_that_somebody_deleted_at_cloudflare_is_forgotten_here(desk: Desk) -> None:
    async with desk.api() as api:
        kept = await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
        [token] = desk.account.service_tokens.all()
        desk.account.service_tokens.remove(token["id"])
        deleted = await service_tokens.delete(api, desk.files, "nightly", hostname=HOST)
    assert (deleted.client_id, deleted.file) == ("", kept.file)
    assert not kept.file.exists()
    await desk.apply()
    assert await desk.drift() == []


async def test_a_token_whose_making_was_not_answered_is_deleted_by_its_name(desk: Desk) -> None:
    await _makes_one_unanswered(desk)
    async with desk.api() as api:
        await service_tokens.delete(api, desk.files, "nightly", hostname=HOST)
    assert desk.account.service_tokens.all() == []
    state = desk.files.state()
    assert state is not None
    assert state.pending is None


async def test_a_token_that_access_still_lets_in_stays_until_it_is_out_of_the_policy(desk: Desk) -> None:
    async with desk.api() as api:
        kept = await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
        rule = f'[[rule]]\nname = "ci"\nservice_tokens = ["{kept.client_id}"]\nscopes = ["mcp:tools:read"]'
        named = intended(POLICY + rule)
        await desk.apply(named)
        [listed] = await service_tokens.listed(api, desk.files, named.rules, hostname=HOST)
        assert listed.rules == ("ci",)
        with pytest.raises(ServiceTokenInUse, match=f"Take {kept.client_id} out of the policy"):
            await service_tokens.delete(api, desk.files, "nightly", hostname=HOST)
        assert _opens(desk, "nightly")
        await desk.apply(intended())
        await service_tokens.delete(api, desk.files, "nightly", hostname=HOST)
    assert desk.account.service_tokens.all() == []


async def test_who_may_not_see_tokens_is_not_told_that_there_is_none(desk: Desk) -> None:
    desk.allow(ApiToken(permissions=EVERY_PERMISSION - {f"{SERVICE_TOKENS}: Edit"}))
    async with desk.api() as api:
        with pytest.raises(PermissionMissing, match="Service Tokens: Read"):
            await service_tokens.listed(api, desk.files, (), hostname=HOST)
        with pytest.raises(PermissionMissing, match="Service Tokens: Read"):
            await service_tokens.delete(api, desk.files, "nightly", hostname=HOST)


async def test_the_end_of_a_token_is_told_in_time(desk: Desk) -> None:
    async with desk.api() as api:
        await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
    found = (await desk.apply()).found
    now = desk.clock[0]
    assert ending(found, now + 300 * DAY) == ()
    fix = "Renew it: brain tunnel service-token rotate nightly."
    assert ending(found, now + 350 * DAY) == (f"Service token nightly ends in 15 days. {fix}",)
    assert ending(found, now + 366 * DAY) == (f"Service token nightly has ended. {fix}",)


def _secret(desk: Desk, name: str) -> str:
    return str(json.loads(desk.files.service_token_file(name).read_text())["client_secret"])


def _opens(desk: Desk, name: str) -> bool:
    kept = json.loads(desk.files.service_token_file(name).read_text())
    return desk.account.service_token(kept["client_id"], kept["client_secret"]) is not None
