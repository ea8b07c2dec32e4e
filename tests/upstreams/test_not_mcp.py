"""What stands at an address where no MCP server is: told in words, with what to do, to the operator alone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.simulator.certificates import CertificateAuthority
from app.upstreams.entries import parse
from app.upstreams.errors import why_of
from app.upstreams.link import Place, link

from .http1.server import OK, serving
from .test_commands import run

PAGE = "Content-Type: text/html"
CREDENTIAL = "name one in its entry: bearer_env, bearer_file or headers"
SSE = 'check the path of its `url`, or say `transport = "http"` if it speaks streamable HTTP'
# Path; status and headers of every answer; for everybody; for the operator, beside that.
ANSWERS = {
    "nothing there": (
        "/x",
        (404, "Content-Type: application/json"),
        "it answers HTTP 404",
        "check the path of its `url`: often /mcp, or /sse where only legacy SSE is spoken",
    ),
    "no POST": (
        "/x",
        (405, PAGE),
        "it answers HTTP 405",
        'check the path of its `url`, or say `transport = "sse"` if it speaks only legacy SSE',
    ),
    "a web page": (
        "/x",
        (200, PAGE),
        "it answers with a web page, not with MCP",
        "check the path of its `url`",
    ),
    "nothing": ("/x", (202, "X: y"), "it sends what is not MCP", "check the path of its `url`"),
    "another place": (
        "/x",
        (307, "Location: /mcp/?token=1"),
        "it answers with a redirect (HTTP 307)",
        "if it is at http://127.0.0.1:PORT/mcp/, make that its `url`",
    ),
    "a login": (
        "/x",
        (302, "Location: https://login.example.com/a"),
        "it answers with a redirect (HTTP 302)",
        "if it is at https://login.example.com/a, make that its `url`",
    ),
    "no way in": ("/x", (401, PAGE), "it asks for a credential (HTTP 401)", CREDENTIAL),
    "no way in, by SSE": ("/sse", (403, PAGE), "it asks for a credential (HTTP 403)", CREDENTIAL),
    "a web page, by SSE": ("/sse", (200, PAGE), "it answers with a web page, not with MCP", SSE),
    "nothing there, by SSE": ("/sse", (404, PAGE), "it answers HTTP 404", SSE),
}


@contextlib.asynccontextmanager
async def answering(status: int, header: str) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {status} So\r\n{header}\r\nContent-Length: 2\r\n".encode())
            writer.write(b"Connection: close\r\n\r\n{}")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def why(url: str, more: str, folder: Path, *, whole: bool) -> str:
    entry = parse(f"version = 1\n[upstream.up]\nurl = '{url}'\n{more}\n").entries[0]
    try:
        async with link(entry, Place(folder, {"A_TOKEN": "secret-value-1"}, time.monotonic)):
            return ""
    except (Exception, BaseExceptionGroup) as problem:
        return why_of(problem, whole=whole)


@pytest.mark.parametrize("what", ANSWERS)
async def test_it_is_told_what_was_there_and_to_the_operator_what_to_do(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, (status, header), public, advice = ANSWERS[what]
    (tmp_path / "env").write_text(f"DATA_DIR={tmp_path}\n")
    async with answering(status, header) as port:
        url = f"http://127.0.0.1:{port}{path}"
        assert await why(url, "", tmp_path, whole=False) == public
        assert await asyncio.to_thread(run, tmp_path, "upstreams", "add", "own", url) == 2
    whole = f"{public}; {advice}".replace("PORT", str(port))
    assert capsys.readouterr().err == f"brain: own does not answer: {whole}. Nothing was written.\n"


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_a_credential_that_is_refused_is_ours(path: str, tmp_path: Path) -> None:
    async with answering(401, PAGE) as port:
        url = f"http://127.0.0.1:{port}{path}"
        told = await why(url, "bearer_env = 'A_TOKEN'", tmp_path, whole=True)
    assert told == "it refuses our credential (HTTP 401)"


async def test_why_tls_fails_is_told_to_the_operator_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def not_understood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 What\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(not_understood, "127.0.0.1", 0) as plain:
        url = f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/mcp"
        assert await why(url, "", tmp_path, whole=False) == "it cannot be reached"
        assert await why(url, "", tmp_path, whole=True) == (
            "it cannot be reached; what listens there does not speak TLS; is it http://?"
        )
    async with serving(OK, tls=CertificateAuthority(time.time()).server(["localhost"])) as server:
        told = await why(f"https://localhost:{server.port}/mcp", "", tmp_path, whole=True)
    assert told.startswith("it cannot be reached; its certificate is not trusted: ")
    assert told.endswith("(SSL_CERT_FILE says whom to trust)")


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_a_redirect_that_repeats_our_credential_is_told_without_it(path: str, tmp_path: Path) -> None:
    async with answering(302, "Location: /of/secret-value-1") as port:
        url = f"http://127.0.0.1:{port}{path}"
        told = await why(url, "bearer_env = 'A_TOKEN'", tmp_path, whole=True)
    assert "secret-value" not in told
    assert f"http://127.0.0.1:{port}/of/[redacted]" in told
