"""No policy file: the LAN may do everything, and through the tunnel there is whoami alone."""

from __future__ import annotations

from pathlib import Path

from app.simulator import Team
from tests.house import NIGHTLY, Clock, open_house

from .everything import PROMPTS, RESOURCES, TEMPLATE, TOOLS, everything
from .wire import VERSIONS, Caller, text_of


async def test_without_a_policy_file_the_lan_may_do_everything_and_the_tunnel_whoami(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    mcp, ran = everything()
    async with open_house(tmp_path, clock, team, policy=None, mcp=mcp) as house:
        lan = Caller(house, VERSIONS[-1], None)
        assert await lan.names("tool") >= {*TOOLS, "search", "create_note", "delete_note", "whoami"}
        assert await lan.names("resource") == set(RESOURCES)
        assert TEMPLATE in await lan.names("template")
        assert await lan.names("prompt") == set(PROMPTS)
        await lan.call("delete_all")
        assert ran == ["delete_all"]
        for token in (team.token("alice@example.com"), team.service_token(NIGHTLY)):
            tunnel = Caller(house, VERSIONS[-1], token)
            assert await tunnel.names("tool") == {"whoami"}
            assert await tunnel.names("resource") == set()
            assert await tunnel.names("template") == set()
            assert await tunnel.names("prompt") == set()
            for name in (*TOOLS, "search", "create_note"):
                assert "not a tool that you may use" in text_of(await tunnel.call(name))
        assert ran == ["delete_all"]
