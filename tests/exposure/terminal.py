"""A person at a terminal: reads what `brain` asks, and types."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.cli.brain import COMMAND

from .world import PATIENCE, World


@dataclass
class Terminal:
    """`text`: all that was to be seen on it."""

    process: asyncio.subprocess.Process
    screen: int
    text: str = ""
    seen: int = 0

    async def asks(self, question: str) -> str:
        """What was to be read up to this question, since the one before it."""
        async with asyncio.timeout(PATIENCE):
            while question not in self.text[self.seen :]:
                assert await self._reads(), f"ended without asking {question!r}: {self.text}"
        end = self.text.index(question, self.seen) + len(question)
        before, self.seen = self.text[self.seen : end], end
        return before

    def types(self, answer: str) -> None:
        os.write(self.screen, f"{answer}\n".encode())

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            while await self._reads():
                pass
            return await self.process.wait()

    async def _reads(self) -> bool:
        """False: whoever wrote on it has gone."""
        try:
            read = await asyncio.to_thread(os.read, self.screen, 4096)
        except OSError:
            return False
        self.text += read.decode()
        return bool(read)


@contextlib.asynccontextmanager
async def terminal(world: World, *words: str, **more: str) -> AsyncIterator[Terminal]:
    """`brain` on a terminal of its own; killed at the end of the block, if it still runs."""
    screen, keyboard = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *words,
        cwd=world.folder,
        env=world.environ(**more),
        stdin=keyboard,
        stdout=keyboard,
        stderr=keyboard,
        start_new_session=True,
    )
    os.close(keyboard)
    try:
        yield Terminal(process, screen)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(screen)
