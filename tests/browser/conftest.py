from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from app.simulator import Team
from app.simulator.access import access_app
from app.simulator.fixed import FixedApplication
from tests.house import HOST, Clock, TestHouse, in_one_task, open_house
from tests.interop.place import PROGRAMS

from .chromium import MISSING, chromium, find
from .visitor import TELL, Client, Visitor
from .web import Web, web

NAMES = (HOST, "acme.cloudflareaccess.com", "client.example", "neighbour.example.com")
SIZE = {"width": 1280, "height": 900}
Arrive = Callable[..., Awaitable[Visitor]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def internet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Web]:
    async with web(tmp_path_factory.mktemp("web"), *NAMES) as served:
        yield served


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(internet: Web) -> AsyncIterator[Browser]:
    program = find()
    assert program is not None, MISSING
    async with chromium(program, https_port=internet.port, key_sha256=internet.key_sha256) as started:
        yield started


@contextlib.asynccontextmanager
async def public_house(folder: Path, clock: Clock, team: Team, internet: Web) -> AsyncIterator[TestHouse]:
    """The topology `oauth`: Access covers the pages of people, programs pass by."""
    async with open_house(folder, clock, team, OAUTH_ENABLED="true") as house:
        application = house.access.simulator.application
        application.bypass, application.access_url = PROGRAMS, f"https://{team.domain}"
        pages = access_app(team, FixedApplication(team, application))
        internet.hosts = {HOST: house.access.edge, team.domain: pages}
        yield house


@pytest_asyncio.fixture(loop_scope="session")
async def house(
    browser: Browser, tmp_path: Path, clock: Clock, team: Team, internet: Web
) -> AsyncIterator[TestHouse]:
    async with in_one_task(public_house(tmp_path, clock, team, internet)) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def arrive(browser: Browser, house: TestHouse, internet: Web) -> AsyncIterator[Arrive]:
    """Somebody opens a browser; `options` are Playwright's of a context.

    At the end: no page did anything that its Content-Security-Policy had to stop.
    """
    async with contextlib.AsyncExitStack() as leaving:

        async def arrived(
            client: Client | None = None, *, may_break: bool = False, **options: object
        ) -> Visitor:
            if client is None:
                client = Client(house)
                internet.hosts["client.example"] = client
            await client.register()
            context = await browser.new_context(**{"viewport": SIZE, **options})  # type: ignore[arg-type]
            leaving.push_async_callback(context.close)
            context.set_default_timeout(20_000)
            await context.add_init_script(TELL)
            visitor = Visitor(house, client, context, await context.new_page())
            context.on("console", visitor.listen)
            if not may_break:
                leaving.callback(nothing_was_stopped, visitor)
            return visitor

        yield arrived


def nothing_was_stopped(visitor: Visitor) -> None:
    assert not visitor.violations(), visitor.said


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(arrive: Arrive) -> Visitor:
    return await arrive()
