"""`brain tunnel up` on a terminal: what it asks, and what it says of an answer that will not do."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.tunnel.releases import PINNED
from tests.tunnel.cloudflareds import saying

from .terminal import terminal
from .world import HOST, OWNER, World, world

NAME, TOKEN, OWNER_IS = (
    "Public name, like brain.example.com: ",
    "API token (not shown): ",
    "Cloudflare Access: ",
)


@pytest.fixture
async def internet(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as opened:
        yield opened


@pytest.fixture
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A LAN door whose port is in use: what comes after the questions ends there, with nothing made."""
    cloudflared = saying(tmp_path_factory.mktemp("bin") / "cloudflared", PINNED)  # none is downloaded
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        yield {"MCP_PORT": port, "CLOUDFLARE_API_TOKEN": "", "CLOUDFLARED_BIN": str(cloudflared)}


async def test_a_bad_answer_is_told_and_that_one_question_is_asked_again(
    internet: World, busy: dict[str, str]
) -> None:
    token = internet.environment["CLOUDFLARE_API_TOKEN"]
    async with terminal(internet, "tunnel", "up", **busy) as person:
        await person.asks(NAME)
        person.types("brain")
        assert "brain: must be a name like brain.example.com." in await person.asks(NAME)
        person.types("")
        assert "The public name is empty." in await person.asks(NAME)
        person.types(HOST)
        await person.asks(TOKEN)
        person.types("")
        assert "The API token is empty." in await person.asks(TOKEN)
        person.types(token)
        await person.asks(OWNER_IS)
        person.types("alice")
        assert "alice: must be an e-mail address." in await person.asks(OWNER_IS)
        person.types(OWNER.title())
        assert await person.ended() == 2
    assert "Address already in use" in person.text
    assert person.text.count(NAME) == 3
    assert token not in person.text
    assert OWNER in (internet.folder / "data" / "policy.toml").read_text()
    assert token in (internet.folder / ".env").read_text()


@pytest.mark.parametrize("unknown", ["a" * 40, "–" * 8, "two words"])
async def test_a_token_that_cloudflare_does_not_know_is_told_and_asked_for_again(
    internet: World, busy: dict[str, str], unknown: str
) -> None:
    async with terminal(internet, "tunnel", "up", "--hostname", HOST, "--owner", OWNER, **busy) as person:
        await person.asks(TOKEN)
        person.types(unknown)
        assert "Cloudflare does not know the API token" in await person.asks(TOKEN)
        assert list(internet.folder.iterdir()) == []
        person.types(internet.environment["CLOUDFLARE_API_TOKEN"])
        assert await person.ended() == 2
    assert "Address already in use" in person.text
    assert "Traceback" not in person.text


async def test_whoever_goes_away_from_a_question_gets_no_second_one(
    internet: World, busy: dict[str, str]
) -> None:
    async with terminal(internet, "tunnel", "up", **busy) as person:
        await person.asks(NAME)
        person.types("\x04")  # Ctrl-D
        assert await person.ended() == 2
    assert "Say it with --hostname, --owner and CLOUDFLARE_API_TOKEN." in person.text
    assert list(internet.folder.iterdir()) == []
