"""How a server is reached, whom we take it for, and what is left of a try that was given up."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from pathlib import Path

import pytest

from app.simulator.certificates import CertificateAuthority
from app.upstreams.errors import NOT_REACHED

from .pools import pool_to, post, why_not
from .server import OK, hangs, serving, soon, then_closes


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_whenever_it_is_cancelled_nothing_stays_open(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = CertificateAuthority(time.time())
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = authority.server(["localhost"]) if scheme == "https" else None
    async with serving(hangs, tls=tls) as server:
        with pool_to(server, url=f"{scheme}://localhost:{server.port}/") as pool:
            for steps in range(60):
                asking = asyncio.ensure_future(pool.post(b"{}", {}))
                for _ in range(steps):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait([asking])
                await asyncio.sleep(0)
                assert not pool.open
    gc.collect()  # a socket that was forgotten says so, and that is an error


async def test_a_port_that_nobody_listens_on_cannot_be_reached() -> None:
    async with serving(OK) as server:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            free = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "[::1]", "a" * 70 + ".localhost"):
            with pool_to(server, url=f"http://{host}:{free}/") as pool:
                assert await why_not(pool) == NOT_REACHED


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_an_address_of_ipv6_is_reached_and_written_in_brackets() -> None:
    async with serving(OK, host="::1") as server:
        with pool_to(server, url=f"http://[::1]:{server.port}/") as pool:
            assert await post(pool) == b"{}"
    assert f"Host: [::1]:{server.port}\r\n".encode() in server.heard[0].head


async def test_a_certificate_is_checked_against_the_store_and_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = CertificateAuthority(time.time())
    (tmp_path / "ca.pem").write_text(authority.pem)
    async with serving(then_closes(OK), OK, tls=authority.server(["localhost"])) as server:
        with pool_to(server, url=f"https://localhost:{server.port}/") as pool:
            assert await why_not(pool) == NOT_REACHED
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with pool_to(server, url=f"https://127.0.0.1:{server.port}/") as pool:
            assert await why_not(pool) == NOT_REACHED
        assert not server.heard
        with pool_to(server, url=f"https://localhost:{server.port}/") as pool:
            assert await post(pool, b"x" * 1_000_000) == b"{}"
            await soon(server.ended.get())
            for _ in range(3):
                assert await post(pool) == b"{}"
    assert [request.connection for request in server.heard][1:] == [server.connections] * 3
