"""What an operator reads of a server that does not answer: its own words, and what to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.upstreams.entries import parse
from app.upstreams.errors import UpstreamDown
from app.upstreams.kept import KeptFile
from app.upstreams.link import Place, link
from app.upstreams.questions import Question
from app.upstreams.upstream import Upstream

from .conftest import RAW, until
from .raw import Folder
from .test_commands import run, told

TALKATIVE = """
import os, sys
for number in range(30):
    print("line", number, file=sys.stderr)
print("the token is", os.environ.get("A_TOKEN"), file=sys.stderr)
sys.stderr.write("and no end of line")
sys.exit(4)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "env").write_text(f"DATA_DIR={tmp_path}\n")
    (tmp_path / "raw").mkdir()
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    return tmp_path


def upstreams(place: Path, *entries: str) -> None:
    (place / "upstreams.toml").write_text("\n".join(["version = 1", *entries]) + "\n")


def test_a_program_that_cannot_be_started_is_told_in_its_own_words(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, "upstreams", "add", "own", "--", "no-such-program") == 2
    assert capsys.readouterr().err == (
        "brain: own does not answer: its process ended with exit code 127. "
        "It said: no-such-program cannot be started: No such file or directory\nNothing was written.\n"
    )


def test_the_last_words_of_a_program_are_told_without_its_credentials(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("A_TOKEN", "secret-value-1")
    words = ("--json", "--env", "A_TOKEN", "--", sys.executable, "-S", str(place / "talkative.py"))
    assert run(place, "upstreams", "add", "own", *words) == 2
    said: dict[str, Any] = told(capsys)
    assert said["why"] == "its process ended with exit code 4"
    assert said["said"] == [
        *(f"line {number}" for number in range(22, 30)),
        "the token is [redacted]",
        "and no end of line",
    ]


def test_each_of_several_is_told_with_its_own_words_and_one_that_answers_with_none(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "raw" / "stderr").write_text("said by the one that answers")
    program = [sys.executable, "-S"]
    words = {
        "a": [*program, "-c", "raise SystemExit('said by a')"],
        "b": [*program, str(RAW), str(place / "raw")],
        "c": [*program, "-c", "raise SystemExit('said by c')"],
    }
    upstreams(place, *(f"[upstream.{name}]\ncommand = {json.dumps(one)}" for name, one in words.items()))
    assert run(place, "upstreams", "--json") == 1
    assert [one["said"] for one in told(capsys)["upstreams"]] == [["said by a"], [], ["said by c"]]
    assert run(place, "upstreams") == 1
    said = capsys.readouterr().out
    assert "a (command): DOWN: its process ended with exit code 1; 0 tools\n  It said: said by a\n" in said
    assert "the one that answers" not in said


def test_a_variable_that_is_not_set_is_told_with_where_it_belongs(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("http://127.0.0.1:9/mcp", "--bearer-env", "MY_KEY")
    assert run(place, "upstreams", "add", "own", *words) == 2
    assert capsys.readouterr().err == (
        "brain: own does not answer: the variable MY_KEY is not set; set it in the environment in which the "
        "server starts (.env is for the Brain's own), or keep it in a file: bearer_file, or "
        '{ file = "path" } for a header or a variable. Nothing was written.\n'
    )


@pytest.mark.parametrize("text", ["", "one\ntwo"])
def test_a_file_of_a_credential_that_is_not_usable_is_one_sentence(
    place: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "key").write_text(text)
    words = ("http://127.0.0.1:9/mcp", "--bearer-file", str(place / "key"))
    assert run(place, "upstreams", "add", "own", *words) == 2
    why = "holds more than one line" if text else "is empty"
    assert f"own does not answer: {place}/key {why}. Nothing was written." in capsys.readouterr().err


LOADED = {
    "x = 1\ny = (1,\n": "SyntaxError: '(' was never closed (FILE:2). Nothing",
    "def f():\n    raise ValueError('no luck')\nf()\n": "ValueError: no luck (FILE:2). Nothing",
    "mcp = object()\nmcp.tool\n": "AttributeError: 'object' object has no attribute 'tool' (FILE:2). Nothing",
    "from fastmcp import FastMCP\nmcp = FastMCP('x')\nmcp.run()\n": "RuntimeError: Already running asyncio "
    'in this thread (FILE:3); put its call of run() under `if __name__ == "__main__":`. Nothing',
    "import not_there\n": "ModuleNotFoundError: No module named 'not_there' (FILE:1); "
    "a server with packages of its own runs as a program, with its own Python. Nothing",
    "import sys\nsys.exit(5)\n": "SystemExit: 5 (FILE:2). Nothing",
}


@pytest.mark.parametrize("text", LOADED)
def test_a_file_that_cannot_be_loaded_is_told_with_its_error_and_its_line(
    place: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "own.py").write_text(text)
    assert run(place, "upstreams", "add", "own", f"{place}/own.py:mcp") == 2
    words = LOADED[text].replace("FILE", f"{place}/own.py")
    said = capsys.readouterr().err
    assert f"brain: own does not answer: own.py cannot be loaded: {words}" in said
    assert "Traceback" not in said


def test_a_file_without_that_name_is_told_as_that(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "own.py").write_text("mcp = None\n")
    assert run(place, "upstreams", "add", "own", f"{place}/own.py:server") == 2
    assert "own does not answer: own.py has no `server`. Nothing" in capsys.readouterr().err


@contextlib.asynccontextmanager
async def running(place: Path, entry: str) -> AsyncIterator[Upstream]:
    """As the server runs it."""
    parsed = parse(f"version = 1\n[upstream.up]\n{entry}\n").entries[0]
    opened = partial(link, parsed, Place(place, dict(os.environ), time.monotonic))
    one = Upstream(parsed, opened, KeptFile(place, "up", time.monotonic), clock=time.monotonic)
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        one.leave()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def warned(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [one for one in caplog.records if one.name == "brain.upstreams" and one.levelname == "WARNING"]


NAMES = ("echo", "two words", "größe")


def lists(place: Path, *names: str) -> None:
    named = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    (place / "raw" / "tools.json").write_text(json.dumps(named))


def test_tools_that_no_policy_could_name_are_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists(place, *NAMES)
    program = ("--", sys.executable, "-S", str(RAW), str(place / "raw"))
    assert run(place, "upstreams", "add", "up", *program) == 0
    why = "left out, because such names cannot be used: 'two words', 'größe'"
    said = capsys.readouterr().out
    assert "[upstream.up] added, 1 tool.\n" in said
    assert f"Some are {why}.\n" in said
    assert run(place, "upstreams") == 0
    assert f"; 1 tool\n  {why}\n" in capsys.readouterr().out


async def test_the_log_names_them_once_and_again_when_they_are_others(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lists(place, *NAMES)
    folder = Folder(place / "raw")
    entry = f'command = ["{sys.executable}", "-S", "{RAW}", "{folder.path}"]'
    async with running(place, entry) as one:

        async def looked(times: int) -> bool:
            return folder.read("record").count("tools/list") >= times

        for times in (1, 2, 3):
            one.look_again()
            await until(partial(looked, times))
        lists(place, *NAMES[:2])
        one.look_again()
        await until(partial(looked, 4))

        async def told_again() -> bool:
            return len(warned(caplog)) > 1

        await until(told_again)
    assert [record.message.partition(": ")[2] for record in warned(caplog)] == [
        "names that cannot be used: 'two words', 'größe'",
        "names that cannot be used: 'two words'",
    ]


async def test_the_log_has_the_traceback_of_a_file_once_and_callers_have_neither_words_nor_line(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "own.py").write_text("1 / 0  # the only line\n")
    async with running(place, 'python = "own.py:mcp"') as one:

        async def tried_again() -> bool:
            return len(warned(caplog)) == 2

        await until(tried_again)
        nothing: Question[None] = lambda *_: asyncio.sleep(0)  # noqa: E731
        with pytest.raises(UpstreamDown) as down:
            await one.ask(nothing)
    assert "own.py cannot be loaded: ZeroDivisionError. It is tried" in down.value.public
    assert "by zero" not in down.value.public
    for record in warned(caplog):
        assert f"ZeroDivisionError: division by zero ({place}/own.py:1); tried again" in record.message
    assert caplog.text.count("Traceback") == 1
    assert caplog.text.count("the only line") == 1
