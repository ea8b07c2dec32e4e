"""The log cannot be written: nothing is changed, reading goes on, everybody is told, and it mends itself."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError

from app.simulator import Team
from app.store.audit import known_key
from app.store.audit_check import verify_file
from tests.cli.brain import environ
from tests.house import Clock, TestHouse, open_house

from .calls import ALICE, BOB, ERAS, ask, call, file_of, refused, structured
from .tables import BREAK, MEND, done_to, lines_in
from .waiting import until, until_true

WAYS = {
    "full or broken": (BREAK, MEND),
    "gone": ("ALTER TABLE audit RENAME TO away", "ALTER TABLE away RENAME TO audit"),
    "without its end": ("ALTER TABLE audit_head RENAME TO away", "ALTER TABLE away RENAME TO audit_head"),
}
SENTENCE = (
    "Nothing can be changed at the moment, because the audit log cannot be written. "
    "Reading goes on. The operator sees why in the server's log."
)


def notes_in(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        count: int = connection.execute("SELECT count(*) FROM revisions").fetchone()[0]
    return count


def assert_unavailable(answer: httpx2.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-Id"]
    assert answer.json() == {"error": "audit_unavailable", "error_description": SENTENCE}


@pytest.mark.parametrize("way", WAYS)
async def test_changes_are_refused_reading_goes_on_and_it_mends_itself(
    house: TestHouse, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    file, (broken, mended) = file_of(house), WAYS[way]
    note = structured(await call(house, "create_note", who=ALICE, title="Otter", text="swims"))["id"]
    before = notes_in(file)
    await done_to(file, broken)
    for who in (None, ALICE):
        for speaking in ERAS:
            for name, arguments in (
                ("create_note", {"title": "x", "text": "y"}),
                ("append_note", {"id": note, "text": "y"}),
                ("delete_note", {"id": note}),
            ):
                assert_unavailable(await call(house, name, who=who, speaking=speaking, **arguments))
            for name, arguments in (("search", {"query": "otter"}), ("fetch", {"id": note}), ("whoami", {})):
                answer = await call(house, name, who=who, speaking=speaking, **arguments)
                assert (answer.status_code, refused(answer)) == (200, False)
            assert (await ask(house, "tools/list", who=who, speaking=speaking)).status_code == 200
    assert notes_in(file) == before
    await done_to(file, mended)

    async def works() -> bool:
        return (await call(house, "create_note", who=ALICE, title="again", text="")).status_code == 200

    await until_true(works, 5)
    loud = [line.message for line in caplog.records if line.levelno >= logging.ERROR]
    assert len(loud) == 2, loud
    assert loud[0].startswith("THE AUDIT LOG CANNOT BE WRITTEN: changes are refused until it can. ")
    assert loud[1] == "the audit log can be written again"
    key = known_key(file.with_name("audit.key"))

    async def is_whole() -> bool:
        """Reads go on record a little later, perhaps between the two counts."""
        return verify_file(file, key) == len(lines_in(file))

    await until_true(is_whole, 5)


async def test_a_denial_that_cannot_be_recorded_is_a_503_too_and_is_recorded_later(house: TestHouse) -> None:
    await done_to(file_of(house), BREAK)
    for speaking in ERAS:
        assert_unavailable(await call(house, "create_note", who=BOB, speaking=speaking, title="x", text="y"))
    await done_to(file_of(house), MEND)
    await until(lambda: len(lines_in(file_of(house), "decision = 'deny'")) == 2, 3)


async def test_what_was_refused_meanwhile_is_on_record_once_it_can_be(house: TestHouse) -> None:
    await done_to(file_of(house), BREAK)
    ids = [(await call(house, "create_note", title="x", text="y")).headers["X-Request-Id"] for _ in range(3)]
    await done_to(file_of(house), MEND)
    await until(lambda: len(lines_in(file_of(house), "name = 'create_note'")) == 3, 3)
    lines = lines_in(file_of(house), "name = 'create_note'")
    assert [(line["request_id"], line["status"]) for line in lines] == [(one, 503) for one in ids]


async def test_what_was_read_while_the_log_was_broken_is_on_record_once_it_can_be(house: TestHouse) -> None:
    await done_to(file_of(house), BREAK)
    await call(house, "search", query="x")
    await asyncio.sleep(0.1)
    await done_to(file_of(house), MEND)
    await until(lambda: len(lines_in(file_of(house), "name = 'search'")) == 1, 3)


async def test_at_the_end_nothing_is_lost_that_can_be_written(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with open_house(tmp_path, clock, team) as house:
        await done_to(file_of(house), BREAK)
        await call(house, "search", query="x")
        await call(house, "create_note", title="x", text="y")
        await done_to(file_of(house), MEND)
    assert [line["name"] for line in lines_in(tmp_path / "brain.db")] == ["search", "create_note"]


async def test_an_end_with_a_broken_log_is_not_silent(
    tmp_path: Path, clock: Clock, team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_house(tmp_path, clock, team) as house:
        await done_to(file_of(house), BREAK)
        await call(house, "search", query="x")
    assert "the server ends with 1 audit records that could not be written" in caplog.messages


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_on_stdio_the_model_is_told_the_sentence(
    tmp_path: Path, clock: Clock, team: Team, mode: str
) -> None:
    async with open_house(tmp_path, clock, team):
        pass  # makes the database
    await done_to(tmp_path / "brain.db", BREAK)
    transport = StdioTransport(
        sys.executable,
        ["-m", "app.cli.main", "serve"],
        env=environ(MCP_TRANSPORT="stdio", DATA_DIR=str(tmp_path)),
        cwd=str(tmp_path),
        keep_alive=False,
    )
    async with Client(transport, mode=mode) as client:
        for _ in range(2):
            with pytest.raises(ToolError, match="Nothing can be changed at the moment"):
                await client.call_tool("create_note", {"title": "x", "text": "y"})
        assert (await client.call_tool("search", {"query": "x"})).structured_content is not None
    assert notes_in(tmp_path / "brain.db") == 0
