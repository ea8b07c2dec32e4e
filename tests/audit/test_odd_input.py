"""Whatever is sent in names and arguments: it leaves its record, or is no request, and the log goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.simulator import SigningKey
from tests.house import Clock, TestHouse, in_one_task, new_team, open_house

from .calls import ask, call, record_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def naming(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, ...]
) -> AsyncIterator[TestHouse]:
    """One house for all: the operator has named an argument."""
    clock, folder = Clock(), tmp_path_factory.mktemp("naming")
    team = new_team(clock, (signing_keys[0], signing_keys[1]))
    async with in_one_task(open_house(folder, clock, team, AUDIT_ARGS="search.query")) as opened:
        yield opened


@pytest.mark.parametrize(
    "query", ["\ud800", "a\x00b", "\x1b[31m\n", "é😀", {"a": [1, None, True]}, 1e300, 10**30]
)
async def test_whatever_is_sent_is_recorded_and_the_log_goes_on(naming: TestHouse, query: object) -> None:
    answer = await call(naming, "search", query=query)
    if answer.status_code == 200:
        line = await record_of(naming, answer)
        assert json.loads(json.dumps(line["args"])) == {"query": query}
    assert (await record_of(naming, await call(naming, "whoami")))["status"] == 200


@pytest.mark.parametrize("name", ["\ud800", "a\x00b", "x" * 5000, "\x1b[31m\n", "é😀"])
@pytest.mark.parametrize(
    ("method", "field"), [("tools/call", "name"), ("prompts/get", "name"), ("resources/read", "uri")]
)
async def test_whatever_name_is_asked_for_the_log_goes_on(
    naming: TestHouse, method: str, field: str, name: str
) -> None:
    answer = await ask(naming, method, **{field: name})
    if answer.status_code == 200 and "result" in answer.json():
        assert (await record_of(naming, answer, method))["name"] == name[:200]
    assert (await record_of(naming, await call(naming, "whoami")))["status"] == 200


async def test_deeply_nested_arguments_leave_a_record_or_are_no_request(naming: TestHouse) -> None:
    for depth in (50, 150, 250, 500, 800, 950):
        nested: object = 1
        for _ in range(depth):
            nested = [nested]
        try:
            answer = await call(naming, "search", query=nested)
        except RecursionError:
            continue
        if answer.status_code == 200 and "result" in answer.json():
            assert (await record_of(naming, answer))["name"] == "search"
