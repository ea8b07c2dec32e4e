"""A running cloudflared: a stand-in for what it may do, the real one for what it does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.settings.table import TABLE
from app.tunnel import lines
from app.tunnel.config import render
from app.tunnel.run import Connector, Launch, State, TokenUnusable, after, command, read_token
from tests.audit.waiting import until

from . import cloudflareds
from .exposures import ACCESS

ROOT = Path(__file__).parents[2]
TOKEN = base64.b64encode(
    json.dumps({"a": "0" * 32, "t": "6ff42ae2-765d-4adf-8112-31c55c1551ef", "s": "c2VjcmV0" * 8}).encode()
).decode()
CONNECTING = State("connecting", "cloudflared connects to Cloudflare.")


@dataclass
class Stage:
    """A connector on a folder of its own, and what it has told."""

    folder: Path
    connector: Connector
    told: list[State] = field(default_factory=list)

    def write(self, name: str, text: str) -> None:
        (self.folder / "next").write_text(text)
        (self.folder / "next").rename(self.folder / name)

    async def until(self, true: Callable[[], bool]) -> None:
        await until(true, 20)

    async def kinds(self, *kinds: str) -> None:
        """Until these are the last that were told."""
        await self.until(lambda: [state.kind for state in self.told][-len(kinds) :] == list(kinds))

    async def connections(self, number: int) -> None:
        await self.until(lambda: self.connector.state.connections == number)

    async def life(self, number: int = 0) -> dict[str, Any]:
        file = self.folder / f"life-{number}.json"
        await self.until(file.exists)
        read: dict[str, Any] = json.loads(file.read_text())
        return read


def launch(folder: Path, binary: Path, **environ: str) -> Launch:
    token = folder / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    config = folder / "config.yml"
    config.write_text(render(ACCESS))
    told = {"PATH": os.environ["PATH"], "STAND_IN": str(folder), **environ}
    return Launch(binary, token, config, told, grace=2)


@contextlib.asynccontextmanager
async def on_stage(folder: Path, launched: Launch, **options: Any) -> AsyncIterator[Stage]:
    told: list[State] = []
    connector = Connector(launched, told.append, **{"pauses": (0.01, 0.02, 0.03), "poll": 0.01, **options})
    running = asyncio.create_task(connector.run())
    try:
        yield Stage(folder, connector, told)
        connector.stop()
        async with asyncio.timeout(20):
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    secrets = {variable.name: "s3cret" for variable in TABLE if variable.secret}
    others = {
        "TUNNEL_TOKEN": "s3cret",
        "TUNNEL_CRED_CONTENTS": "s3cret",
        "HTTPS_PROXY": "http://127.0.0.1:3128",
    }
    launched = launch(tmp_path, cloudflareds.stand_in(tmp_path / "cloudflared"), **secrets, **others)
    async with on_stage(tmp_path, launched) as stage:
        yield stage


async def test_the_token_goes_by_file_alone_and_no_secret_of_ours_goes_at_all(stage: Stage) -> None:
    life = await stage.life()
    assert TOKEN not in json.dumps(life)
    assert "s3cret" not in json.dumps(life)
    assert life["environ"]["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    words = life["argv"][1:]
    assert words[-3:] == ["run", "--token-file", str(stage.folder / "token")]
    assert words[0] == "tunnel"
    assert "--no-autoupdate" in words
    assert words[words.index("--config") + 1] == str(stage.folder / "config.yml")
    assert words[words.index("--metrics") + 1].startswith("127.0.0.1:")
    assert words[words.index("--grace-period") + 1] == "2s"


async def test_every_change_is_told_in_a_sentence(stage: Stage) -> None:
    await stage.life()
    for connections in ("1", "4", "0", "2"):
        stage.write("ready", connections)
        await stage.connections(int(connections))
    assert stage.told == [
        CONNECTING,
        State("connected", "The tunnel is up: 1 connection to Cloudflare.", 1),
        State("connected", "The tunnel is up: 4 connections to Cloudflare.", 4),
        State("lost", "The tunnel is down: no connection to Cloudflare. cloudflared tries again."),
        State("connected", "The tunnel is up: 2 connections to Cloudflare.", 2),
    ]


async def test_one_can_wait_for_the_first_connection(stage: Stage) -> None:
    waiting = asyncio.create_task(stage.connector.connected())
    await stage.life()
    assert not waiting.done()
    stage.write("ready", "1")
    async with asyncio.timeout(20):
        await waiting


async def test_one_that_dies_is_started_again_later_each_time_until_it_was_connected(stage: Stage) -> None:
    for life in range(3):
        await stage.life(life)
        stage.write("says", '{"level":"error","message":"Register tunnel error","error":"no such tunnel"}')
        await stage.until(lambda: not (stage.folder / "says").exists())
        stage.write("exit", "1")
    await stage.life(3)
    stage.write("ready", "1")
    await stage.kinds("connecting", "connected")
    stage.write("exit", "7")
    await stage.life(4)
    said = " It said: Register tunnel error no such tunnel"
    assert [state.sentence for state in stage.told if state.kind == "exited"] == [
        f"cloudflared ended with code 1; it starts again in 0.01 s.{said}",
        f"cloudflared ended with code 1; it starts again in 0.02 s.{said}",
        f"cloudflared ended with code 1; it starts again in 0.03 s.{said}",
        "cloudflared ended with code 7; it starts again in 0.01 s.",
    ]


async def test_one_that_is_killed_is_started_again(stage: Stage) -> None:
    os.kill((await stage.life())["pid"], signal.SIGKILL)
    await stage.life(1)
    assert "cloudflared was ended by SIGKILL; it starts again in 0.01 s." in [s.sentence for s in stage.told]


async def test_stopping_ends_it_and_is_no_loss(stage: Stage) -> None:
    pid = (await stage.life())["pid"]
    stage.write("ready", "1")
    await stage.connector.connected()
    stage.connector.stop()
    await stage.kinds("exited")
    assert stage.told[-1] == State("exited", "cloudflared has ended.")
    assert "lost" not in [state.kind for state in stage.told]
    assert not alive(pid)


async def test_one_that_will_not_end_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    launched = launch(tmp_path, cloudflareds.stand_in(tmp_path / "cloudflared"))
    async with on_stage(tmp_path, launched, margin=-1.9) as stage:
        stage.write("stays", "")
        pid = (await stage.life())["pid"]
        stage.connector.stop()
        await stage.kinds("exited")
        assert not alive(pid)


async def test_stopping_while_it_waits_to_start_again_starts_nothing(tmp_path: Path) -> None:
    launched = launch(tmp_path, cloudflareds.stand_in(tmp_path / "cloudflared"))
    async with on_stage(tmp_path, launched, pauses=(3600.0,)) as stage:
        await stage.life()
        stage.write("exit", "1")
        await stage.kinds("exited")
    assert not (tmp_path / "life-1.json").exists()


async def test_what_it_logs_is_logged_here_without_the_token_and_on_one_line(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "brain.cloudflared")
    await stage.life()
    told = {"level": "info", "message": f"Starting {TOKEN}\nforged line\x1b[31m", "connIndex": 0}
    stage.write("says", f"{json.dumps(told)}\nIncorrect Usage: flag {TOKEN}\nNAME:")
    await stage.until(lambda: "NAME:" in caplog.text)
    ours = [(one.levelname, one.getMessage()) for one in caplog.records if one.name == "brain.cloudflared"]
    assert ("DEBUG", "Starting … forged line [31m connIndex=0") in ours
    assert ("WARNING", "Incorrect Usage: flag …") in ours
    assert TOKEN not in caplog.text
    stage.write("exit", "1")
    await stage.life(1)
    ended = "cloudflared ended with code 1; it starts again in 0.01 s. It said: Incorrect Usage: flag …"
    assert ended in [state.sentence for state in stage.told]


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (b'{"level":"warn","message":"a"}', logging.INFO, "a"),
        (b'{"level":"error","message":"a","error":"b"}', logging.WARNING, "a b"),
        (b'{"level":"fatal","message":"a"}', logging.ERROR, "a"),
        (b'{"level":"new","message":"a"}', logging.WARNING, "a"),
        (b"{}", logging.WARNING, ""),
        (b'{"message":', logging.WARNING, '{"message":'),
        (b"[1]", logging.WARNING, "[1]"),
        (b"\xff\x00", logging.WARNING, "\ufffd "),
        (b"x" * 600, logging.WARNING, "x" * 500 + "…"),
        (b"a key=eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln b", logging.WARNING, "a key=… b"),
    ],
)
def test_a_line_of_its_log_is_short_and_printable(line: bytes, level: int, text: str) -> None:
    read = lines.read(line)
    assert read is not None
    assert (read.level, read.text) == (level, text)


@pytest.mark.parametrize("line", [b"", b"\n", b"  \r\n"])
def test_an_empty_line_is_none(line: bytes) -> None:
    assert lines.read(line) is None


async def test_a_long_time_without_a_connection_is_worth_a_word(tmp_path: Path) -> None:
    launched = launch(tmp_path, cloudflareds.stand_in(tmp_path / "cloudflared"))
    async with on_stage(tmp_path, launched, patience=0.05) as stage:
        await stage.until(lambda: "port 7844" in stage.connector.state.sentence)
        assert [state.kind for state in stage.told] == ["connecting", "connecting"]


@pytest.mark.parametrize("name", ["missing", "config.yml"])
async def test_a_program_that_is_none_is_tried_again(tmp_path: Path, name: str) -> None:
    async with on_stage(tmp_path, launch(tmp_path, tmp_path / name)) as stage:
        await stage.kinds("exited", "exited")
        assert stage.told[0].sentence.startswith("cloudflared could not be started (")


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (TOKEN, 0o644, "Others can read the tunnel's token. Run: chmod 600 "),
        (TOKEN, 0o640, "Others can read the tunnel's token. Run: chmod 600 "),
        (" \n", 0o600, " is empty."),
        ("\u00fc", 0o600, " cannot be read: it is no text."),
        (None, 0o600, " cannot be read: No such file or directory."),
    ],
)
async def test_a_token_that_others_can_read_or_that_is_none_starts_nothing(
    tmp_path: Path, text: str | None, mode: int, said: str
) -> None:
    launched = launch(tmp_path, cloudflareds.stand_in(tmp_path / "cloudflared"))
    if text is None:
        launched.token_file.unlink()
    else:
        launched.token_file.write_text(text, "utf-8")
        launched.token_file.chmod(mode)
    told: list[State] = []
    with pytest.raises(TokenUnusable) as refused:
        await Connector(launched, told.append).run()
    assert said in refused.value.public
    assert TOKEN not in refused.value.public
    assert told == []
    assert not (tmp_path / "life-0.json").exists()


def test_a_token_is_read_without_what_is_around_it(tmp_path: Path) -> None:
    assert read_token(launch(tmp_path, tmp_path / "x").token_file) == TOKEN


@pytest.mark.parametrize("before", [CONNECTING, State("exited", "")])
def test_what_was_never_connected_is_not_lost(before: State) -> None:
    assert after(before, 0) == after(before, None) == CONNECTING


ORPHAN = """
import asyncio, os, sys
from pathlib import Path
from app.tunnel.run import Connector, Launch
folder = Path(sys.argv[1])
launch = Launch(Path(sys.argv[2]), folder / "token", folder / "config.yml", dict(os.environ))
asyncio.run(Connector(launch, lambda state: None).run())
"""


async def left_behind(folder: Path, launched: Launch, pid_of: Callable[[Stage], Any]) -> int:
    """Starts a process that runs the connector, kills it, and tells what pid its cloudflared had."""
    words = [sys.executable, "-c", ORPHAN, str(folder), str(launched.binary)]
    environ = {**launched.environ, "PYTHONPATH": str(ROOT)}
    parent = await asyncio.create_subprocess_exec(*words, env=environ, stderr=asyncio.subprocess.DEVNULL)
    try:
        stage = Stage(folder, Connector(launched, lambda state: None))
        pid: int = await pid_of(stage)
    finally:
        parent.kill()
        await parent.wait()
    await stage.until(lambda: not alive(pid))
    return pid


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
async def test_it_does_not_outlive_us_even_if_we_are_killed(tmp_path: Path) -> None:
    async def pid_of(stage: Stage) -> Any:
        return (await stage.life())["pid"]

    launched = launch(tmp_path, cloudflareds.stand_in(tmp_path / "cloudflared"))
    assert await left_behind(tmp_path, launched, pid_of) > 0


def of_process(pid: int, what: str) -> bytes:
    return Path(f"/proc/{pid}/{what}").read_bytes()


def alive(pid: int) -> bool:
    """A zombie is not: it waits for whoever took it over."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# The real one, with nobody at the other end


@pytest.fixture
def nowhere(tmp_path: Path) -> Launch:
    """A launch of the real cloudflared that finds no edge."""
    edge = {"TUNNEL_EDGE": "127.0.0.1:9", "TUNNEL_TRANSPORT_PROTOCOL": "http2", "NO_PRECHECKS": "true"}
    return launch(tmp_path, cloudflareds.real(), **edge)


async def test_the_real_one_is_started_watched_and_ended(tmp_path: Path, nowhere: Launch) -> None:
    async with on_stage(tmp_path, nowhere, poll=0.1, patience=0.2) as stage:
        await stage.until(lambda: "port 7844" in stage.connector.state.sentence)
        process = stage.connector._process
        assert process is not None
        shown = b"".join(of_process(process.pid, what) for what in ("cmdline", "environ"))
        assert TOKEN.encode() not in shown
        assert [state.kind for state in stage.told] == ["connecting", "connecting"]
    assert stage.told[-1].sentence == "cloudflared has ended."


async def test_the_real_one_says_why_it_will_not_start(tmp_path: Path, nowhere: Launch) -> None:
    nowhere.token_file.write_text("bm8gdG9rZW4=")
    async with on_stage(tmp_path, nowhere, pauses=(3600.0,)) as stage:
        await stage.kinds("exited")
    assert stage.told[1].sentence.endswith(" It said: Provided Tunnel token is not valid.")


async def test_the_real_one_does_not_outlive_us(tmp_path: Path, nowhere: Launch) -> None:
    async def pid_of(stage: Stage) -> int:
        wanted = b"\0".join(word.encode() for word in (str(tmp_path / "config.yml"), "--no-autoupdate"))
        found: list[int] = []

        def there() -> bool:
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    said = file.read_bytes()
                    if wanted in said and said.startswith(str(nowhere.binary).encode()):
                        found.append(int(file.parent.name))
            return bool(found)

        await stage.until(there)
        return found[0]

    assert await left_behind(tmp_path, nowhere, pid_of) > 0


def test_the_flags_stand_before_run() -> None:
    words = command(Launch(Path("/x"), Path("/t"), Path("/c"), {}), 4000)
    assert words.index("--metrics") < words.index("run") < words.index("--token-file")
