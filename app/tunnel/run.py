"""A running cloudflared: started with its token by file, watched, started again, and ended with us."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import httpx2

from app.errors import AppError
from app.settings.table import TABLE
from app.tunnel import lines
from app.tunnel.config import GRACE_SECONDS, STOP_SECONDS

log = logging.getLogger("brain.cloudflared")

PAUSES = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)  # seconds before it starts again; the last one for ever
POLL = 1.0
PATIENCE = 30.0  # seconds without a connection before it is worth a word
LONGEST_LINE = 1024 * 1024

# These name a tunnel, and win over a token file; or are the secret of one.
_OF_ANOTHER_TUNNEL = frozenset({"TUNNEL_TOKEN", "TUNNEL_CRED_CONTENTS"})
_SECRETS = frozenset(variable.name for variable in TABLE if variable.secret)

# Asks the kernel to end us with our parent (prctl(2), PR_SET_PDEATHSIG), and becomes cloudflared. If the
# parent has gone before, nobody will tell.
_TIED = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class TokenUnusable(AppError):
    code = "tunnel_token_unusable"


@dataclass(frozen=True, slots=True)
class State:
    """`connections`: to Cloudflare, four when all is well. `sentence`: for people. `connector_id`: as
    Cloudflare lists it, while there are connections."""

    kind: Literal["connecting", "connected", "lost", "exited"]
    sentence: str
    connections: int = 0
    connector_id: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """`config_file`: what counts until Cloudflare has sent what it keeps with the tunnel; never one found
    somewhere. `environ`: ours; what of it is secret is not passed on.
    """

    binary: Path
    token_file: Path
    config_file: Path
    environ: Mapping[str, str]
    grace: int = GRACE_SECONDS


def command(launch: Launch, metrics_port: int) -> list[str]:
    """The flags belong to `tunnel`, and so stand before `run`."""
    tunnel = [
        "--config",
        str(launch.config_file),
        "--no-autoupdate",
        "--output",
        "json",
        "--loglevel",
        "info",
    ]
    tunnel += ["--metrics", f"127.0.0.1:{metrics_port}", "--grace-period", f"{launch.grace}s"]
    return [str(launch.binary), "tunnel", *tunnel, "run", "--token-file", str(launch.token_file)]


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Our environment for cloudflared: proxies and its own TUNNEL_* variables, but no secret of ours."""
    return {name: value for name, value in environ.items() if name not in _SECRETS | _OF_ANOTHER_TUNNEL}


def read_token(file: Path) -> str:
    """Raises TokenUnusable: it is not there, empty, or others can read it."""
    try:
        mode, token = file.stat().st_mode, file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "it is no text"
        raise TokenUnusable(f"The tunnel's token ({file}) cannot be read: {why}.") from None
    if mode & 0o077:
        raise TokenUnusable(f"Others can read the tunnel's token. Run: chmod 600 {file}")
    if not token:
        raise TokenUnusable(f"The tunnel's token ({file}) is empty.")
    return token


class Connector:
    """Runs cloudflared until `stop()`. `told` hears of every change; it must not raise.

    In seconds: `pauses` before it starts again, `poll` between two looks, `patience` until it is worth a
    word that there is no connection, `margin` beyond the grace until it is killed.
    """

    def __init__(
        self,
        launch: Launch,
        told: Callable[[State], None],
        *,
        pauses: Sequence[float] = PAUSES,
        poll: float = POLL,
        patience: float = PATIENCE,
        margin: float = STOP_SECONDS - GRACE_SECONDS,
    ) -> None:
        self._launch, self._told = launch, told
        self._pauses, self._poll = pauses, poll
        self._patience, self._margin = patience, margin
        self._stopping, self._connected = asyncio.Event(), asyncio.Event()
        self._process: Process | None = None
        self._last_words = ""
        self.state = State("connecting", "cloudflared starts.")

    async def run(self) -> None:
        """Returns when cloudflared has ended after `stop()`. Raises TokenUnusable."""
        failures = 0
        while not self._stopping.is_set():
            self._connected.clear()
            how = await self._once()
            if self._stopping.is_set():
                break
            failures = 0 if self._connected.is_set() else failures
            pause = self._pauses[min(failures, len(self._pauses) - 1)]
            failures += 1
            said = f" It said: {self._last_words}" if self._last_words else ""
            self._tell(State("exited", f"cloudflared {how}; it starts again in {pause:g} s.{said}"))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
        self._tell(State("exited", "cloudflared has ended."))

    def stop(self) -> None:
        """It takes no new requests and ends when the open ones have, or after the grace; again: at once."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    async def connected(self) -> None:
        """Returns once there is a connection to Cloudflare."""
        await self._connected.wait()

    async def _once(self) -> str:
        """One life of the process; says how it ended."""
        token, port = read_token(self._launch.token_file), _free_port()
        self._last_words = ""
        try:
            process = self._process = await _start(command(self._launch, port), self._launch.environ)
        except OSError as problem:
            return f"could not be started ({problem.strerror})"
        self._tell(State("connecting", "cloudflared connects to Cloudflare."))
        watching = asyncio.create_task(self._watch(port))
        reading = asyncio.create_task(self._read(process, token))
        try:
            if self._stopping.is_set():  # asked for while it was being started
                self.stop()
            await self._ended(process)
        finally:
            watching.cancel()
            await _killed(process)
            await asyncio.gather(watching, reading, return_exceptions=True)
        code = process.returncode or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    async def _ended(self, process: Process) -> None:
        """Waits for its end; once it is to stop, no longer than whoever stops us would."""
        waiting = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await asyncio.wait((waiting,), timeout=self._launch.grace + self._margin)
        finally:
            waiting.cancel()
            stopping.cancel()

    async def _read(self, process: Process, token: str) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        while True:
            try:
                raw = await process.stdout.readline()
            except ValueError:
                continue  # longer than LONGEST_LINE: what is left of it comes as the next one
            if not raw:
                return
            line = lines.read(raw, (token,))
            if line is not None:
                log.log(line.level, "%s", line.text)
                self._last_words = _last_words(self._last_words, line)

    async def _watch(self, port: int) -> None:
        """Asks /ready, which is there a moment after the start."""
        loop = asyncio.get_running_loop()
        since, said = loop.time(), False
        async with httpx2.AsyncClient(trust_env=False, timeout=2 + self._poll) as http:
            while not self._stopping.is_set():
                before, now = self.state, after(self.state, *await _ready(http, port))
                if (before.kind, before.connections) != (now.kind, now.connections):
                    since, said = loop.time(), False
                    self._tell(now)
                elif now.kind != "connected" and not said and loop.time() - since > self._patience:
                    said = True
                    self._tell(replace(now, sentence=self._without_connection()))
                await asyncio.sleep(self._poll)

    def _without_connection(self) -> str:
        said = f" It said last: {self._last_words}" if self._last_words else ""
        return (
            f"cloudflared has had no connection to Cloudflare for {self._patience:g} s. It must reach "
            f"port 7844 there, by UDP or TCP (for TCP alone set TUNNEL_TRANSPORT_PROTOCOL=http2).{said}"
        )

    def _tell(self, state: State) -> None:
        self.state = state
        if state.kind == "connected":
            self._connected.set()
        log.log(logging.INFO if state.kind != "lost" else logging.WARNING, "%s", state.sentence)
        self._told(state)


def _last_words(before: str, line: lines.Line) -> str:
    """Its last error; of usage only the first line, for the rest is help."""
    if line.plain:
        return before or line.text
    return line.text if line.level >= logging.WARNING else before


def after(before: State, ready: int | None, connector_id: str = "") -> State:
    """The state that follows `before`, with so many connections ready; None: it did not answer."""
    if ready:
        many = "1 connection" if ready == 1 else f"{ready} connections"
        return State("connected", f"The tunnel is up: {many} to Cloudflare.", ready, connector_id)
    if before.kind in ("connected", "lost"):
        return State("lost", "The tunnel is down: no connection to Cloudflare. cloudflared tries again.")
    return State("connecting", "cloudflared connects to Cloudflare.")


async def _ready(http: httpx2.AsyncClient, port: int) -> tuple[int | None, str]:
    try:
        answer = (await http.get(f"http://127.0.0.1:{port}/ready")).json()
    except (httpx2.HTTPError, ValueError):
        return None, ""
    said = answer if isinstance(answer, dict) else {}
    ready = said.get("readyConnections")
    return (ready if isinstance(ready, int) else None), str(said.get("connectorId") or "")


async def _start(words: Sequence[str], environ: Mapping[str, str]) -> Process:
    """In a session of its own: Ctrl-C is for us, who end it in order. On Linux it does not outlive us."""
    if sys.platform == "linux":
        if not os.access(words[0], os.X_OK):
            raise PermissionError(13, "no such program", words[0])
        words = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *words]
    return await asyncio.create_subprocess_exec(
        *words,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        env=passed_on(environ),
        start_new_session=True,
        limit=LONGEST_LINE,
    )


async def _killed(process: Process) -> None:
    """For one that has not ended in time, or whose watcher is going away."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
