"""`python -m tests.oauth.probes`: asks both servers, keeps the results, and writes the table of the page."""

from __future__ import annotations

import asyncio
import datetime
import logging
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.simulator import SigningKey

from .every import asked, every
from .report import MARK, compared, write
from .targets import Served, ours, theirs


async def result(target: Served) -> dict[str, Any]:
    failed = {}
    for name in every():
        if (reason := await asked(target, name)) is not None:
            failed[name] = reason
            print(f"{target.name} {name}: {reason}", file=sys.stderr)
    return {"name": target.name, "version": target.version, "failed": failed}


async def main() -> int:
    logging.disable(logging.CRITICAL)  # refusals are what is asked for
    servers = []
    with tempfile.TemporaryDirectory() as folder:
        async with ours(Path(folder), (SigningKey.generate(), SigningKey.generate())) as here:
            servers.append(await result(here))
    async with theirs() as there:
        servers.append(await result(there))
    found = {
        "date": datetime.date.today().isoformat(),
        "mcp": version("mcp"),
        "probes": list(every()),
        "servers": servers,
    }
    write(found)
    print(compared(found).removeprefix(MARK))
    return 1 if servers[0]["failed"] else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
