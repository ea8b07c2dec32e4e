"""A pool to the server of a test, and what comes back from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from app.upstreams.errors import UNREACHABLE
from app.upstreams.http1 import Pool

from .server import Server, soon

MOST = 64 * 1024 * 1024
SECRET = "secret-4f1c"


@contextlib.contextmanager
def pool_to(server: Server, **more: Any) -> Iterator[Pool]:
    headers = {"User-Agent": "us", "Authorization": f"Bearer {SECRET}"}
    with contextlib.closing(Pool(more.pop("url", server.url), headers, MOST, **more)) as pool:
        yield pool


async def post(pool: Pool, body: bytes = b"{}", **headers: str) -> bytes:
    return bytes((await soon(pool.post(body, headers))).body)


async def why_not(pool: Pool) -> str:
    with pytest.raises(MCPError) as problem:
        await post(pool)
    assert problem.value.error.code == UNREACHABLE
    return problem.value.error.message
