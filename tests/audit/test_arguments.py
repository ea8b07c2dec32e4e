"""The values of arguments: nowhere on the disk, unless the operator named the argument."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.simulator import Team
from tests.house import Clock, TestHouse, in_one_task, open_house

from .calls import ALICE, BOB, call, file_of, lines_of, record_of
from .tables import bytes_of, lines_in
from .waiting import until

CANARY = "canary-7f3a"


@pytest.fixture
async def naming(tmp_path: Path, clock: Clock, team: Team) -> AsyncIterator[TestHouse]:
    named = "search.query,search.tags,delete_note.id"
    async with in_one_task(open_house(tmp_path, clock, team, AUDIT_ARGS=named)) as opened:
        yield opened


async def test_no_value_of_an_argument_is_on_the_disk(house: TestHouse) -> None:
    for who in (None, ALICE, BOB):
        await call(house, "search", who=who, query=CANARY, tags=[CANARY])
        await call(house, "fetch", who=who, id=CANARY)
        await call(house, "delete_note", who=who, id=CANARY)
        await call(house, "update_note", who=who, id=CANARY, version=1, title=CANARY)
        await call(house, "search", who=who, cook=CANARY, query={CANARY: 1})
        await call(house, "no_tool", who=who, **{CANARY: CANARY})
    await until(lambda: len(lines_in(file_of(house), "operation = 'tools/call'")) == 18)
    assert CANARY.encode() not in bytes_of(file_of(house))


async def test_no_token_is_on_the_disk(house: TestHouse) -> None:
    token = house.team.token(ALICE)
    await house.tunnel_request("GET", "/healthz", token=token)
    await house.tunnel_request("GET", "/healthz", token=token + "x")
    await until(lambda: len(lines_in(file_of(house))) == 2)
    content = bytes_of(file_of(house))
    assert not any(part.encode() in content for part in token.split("."))


async def test_a_named_argument_is_stored_cut_and_no_other(naming: TestHouse) -> None:
    long = "q" * 500
    answer = await call(naming, "search", query=long, tags=["a" * 300], space=CANARY)
    line = await record_of(naming, answer)
    assert line["args"] == {"query": "q" * 200, "tags": ["a" * 200]}
    await call(naming, "fetch", id=CANARY)
    assert CANARY.encode() not in bytes_of(file_of(naming))
    assert b"q" * 201 not in bytes_of(file_of(naming))


async def test_a_named_argument_of_a_denial_is_stored_too(naming: TestHouse) -> None:
    answer = await call(naming, "delete_note", who=BOB, id="the-note")
    (line,) = [line for line in lines_of(naming, answer) if line["operation"] == "tools/call"]
    assert (line["decision"], line["args"]) == ("deny", {"id": "the-note"})
