"""A Brain that runs, with Access beside it, and a doctor who looks at it from this very process."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app import settings as app_settings
from app.cli.doctor import nameable
from app.doctor.checks import Check, Question, examine, in_sum, in_words
from app.doctor.inside import Machine, inside, settings_invalid, socket_of
from app.doctor.storage import Free, free_bytes
from app.doctor.web import Web, from_outside, on_this_machine
from app.settings import Settings, SettingsInvalid
from app.simulator import SigningKey, Team
from app.tunnel.binary import find
from app.tunnel.config import render
from app.tunnel.exposed import exposed
from app.tunnel.releases import PINNED
from tests.audit.waiting import until
from tests.house import PUBLIC, TEAM, Clock, TestHouse, new_team, open_house
from tests.tunnel.cloudflareds import saying

from .cloudflared import Cloudflared, on_loopback

POLICY = """
version = 1

[[rule]]
name = "alice"
emails = ["alice@example.com"]
scopes = ["mcp:tools:write"]

[[case]]
as = "alice@example.com"
tool = "create_note"
expect = "allow"

[[case]]
as = "eve@example.com"
tool = "search"
expect = "deny"
"""


class Moving(Clock):
    """The time as it is, and what a test adds to it."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def __call__(self) -> float:
        return time.time() + self.at


More = Callable[[Settings, Web], list[Question]]


@dataclass
class World:
    """`variables`, `free` and `now` are what the doctor goes by; a test spoils one of them, or a file."""

    house: TestHouse
    folder: Path
    variables: dict[str, str]
    cloudflared: Cloudflared
    metrics: str
    program: Path
    free: Free = free_bytes
    now: Callable[[], float] = time.time
    hidden: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def database(self) -> Path:
        return self.data / "brain.db"

    def move_lan_door(self, port: int) -> None:
        self.variables["MCP_PORT"] = str(port)
        self.hidden[f"127.0.0.1:{port}"] = "ANOTHER_PORT"

    def move_tunnel_door(self, port: int) -> None:
        self.variables["TUNNEL_DOOR"] = f"127.0.0.1:{port}"
        self.hidden[f"127.0.0.1:{port}"] = "ANOTHER_PORT"

    @property
    def configuration(self) -> Path:
        return self.folder / "config.yml"

    def write_configuration(self, text: str) -> None:
        self.configuration.write_text(text)

    async def recorded(self, operation: str) -> None:
        """Returns once the server has written a record of it."""
        asked = "SELECT count(*) FROM audit WHERE operation = ?"
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            await until(lambda: connection.execute(asked, (operation,)).fetchone()[0] > 0)

    async def checks(self) -> list[Check]:
        return [check async for check in self.asked()]

    async def check(self, name: str) -> Check:
        return next(check for check in await self.checks() if check.name == name)

    async def asked(self, more: More | None = None) -> AsyncIterator[Check]:
        """`more`: questions beside those of this machine, made of the settings and who asks here."""
        env_file = self.folder / "env"
        try:
            settings = app_settings.read(self.variables, env_file)
        except SettingsInvalid as invalid:
            yield settings_invalid(invalid.problems)
            return
        tools, unseen = await nameable(settings)
        async with (
            from_outside() as web,
            on_this_machine() as here,
            on_this_machine(socket_of(settings)) as door,
        ):
            machine = Machine(
                env_file=env_file,
                now=self.now,
                tools=tools,
                unseen=unseen,
                web=web,
                here=here,
                door=door,
                find=lambda: find(str(self.program), "", self.data),
                configurations=[self.configuration],
                metrics=[self.metrics],
                free=self.free,
            )
            questions = [*inside(settings, machine), *(more(settings, here) if more else [])]
            async for check in examine(questions):
                yield check

    def as_told(self, checks: list[Check]) -> str:
        """What people read, without what differs from run to run."""
        text = "\n".join([*map(in_words, checks), "", in_sum(checks), ""])
        for found, name in self.hidden.items():
            text = text.replace(found, name)
        return text


@contextlib.asynccontextmanager
async def open_world(folder: Path, keys: tuple[SigningKey, SigningKey]) -> AsyncIterator[World]:
    team = new_team(Moving(), keys)
    async with world_of(folder, team, POLICY, OAUTH_ENABLED="true") as world:
        yield world


@contextlib.asynccontextmanager
async def world_of(folder: Path, team: Team, policy: str, **given: Any) -> AsyncIterator[World]:
    """`team`: its clock is Cloudflare's. `given`: settings by name."""
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    (folder / "env").write_text("")
    (folder / "env").chmod(0o600)
    clock = team.now
    assert isinstance(clock, Clock)
    cloudflared = Cloudflared("11111111-1111-4111-8111-111111111111")
    async with (
        on_loopback(cloudflared) as metrics,
        open_house(data, clock, team, policy=policy, **given) as house,
    ):
        lan, tunnel = (url.removeprefix("http://") for url in (house.lan, house.tunnel))
        variables = {
            "MCP_TRANSPORT": "http",
            "MCP_PORT": lan.rpartition(":")[2],
            "TUNNEL_DOOR": tunnel,
            "DATA_DIR": str(data),
            "CF_ACCESS_TEAM": TEAM,
            "CF_ACCESS_AUD": team.aud,
            "CF_ACCESS_CERTS_URL": house.access.certs_url,
            "BASE_URL": PUBLIC,
            **given,
        }
        hidden = {
            str(folder): "FOLDER",
            lan: "LAN_DOOR",
            tunnel: "TUNNEL_DOOR",
            house.access.access_url.removeprefix("http://"): "ACCESS",
            metrics: "METRICS",
        }
        program = saying(folder / "cloudflared", PINNED)
        world = World(house, folder, variables, cloudflared, metrics, program, hidden=hidden)
        exposure = exposed(app_settings.read(variables))
        world.write_configuration(render(exposure, tunnel="brain", credentials="/etc/cloudflared/brain.json"))
        yield world
