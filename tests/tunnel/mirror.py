"""A stand-in for where releases are downloaded, on loopback; with TLS, behind a proxy, or in trouble."""

from __future__ import annotations

import contextlib
import datetime
import io
import socket
import ssl
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROGRAM = b"#!/bin/sh\necho 'cloudflared version 2026.10.0 (built 2026-10-05-17:37 UTC)'\n"


def archive(*names: str) -> bytes:
    """A .tgz with the program by each of these names."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as members:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(PROGRAM)
            members.addfile(member, io.BytesIO(PROGRAM))
    return out.getvalue()


@dataclass
class Mirror:
    """`trouble`: none, `redirect`, `truncated`, `stalled`, `busy`. `asked`: the paths, as they came."""

    address: str
    body: bytes = PROGRAM
    trouble: str = ""
    asked: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def mirror(tls: ssl.SSLContext | None = None) -> Iterator[Mirror]:
    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(self.path)
            if here.trouble == "busy":
                self.send_error(503)
            elif here.trouble == "redirect" and not self.path.startswith("/elsewhere/"):
                self.send_response(302)
                self.send_header("Location", f"/elsewhere{self.path}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.file()

        def file(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(here.body)))
            self.end_headers()
            half = here.body[: len(here.body) // 2]
            self.wfile.write(half if here.trouble in ("truncated", "stalled") else here.body)
            if here.trouble == "stalled":
                self.wfile.flush()
                here.stop.wait(20)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    here = Mirror(f"127.0.0.1:{server.server_port}")
    with _serving(server):
        yield here
        here.stop.set()


@contextlib.contextmanager
def proxy(to: str) -> Iterator[tuple[str, list[str]]]:
    """A proxy that leads every CONNECT to one address; its URL, and what it was asked for."""
    asked: list[str] = []
    host, _, port = to.partition(":")

    class Tunnel(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            with socket.create_connection((host, int(port))) as behind:
                self.send_response(200)
                self.end_headers()
                there = threading.Thread(target=_pump, args=(self.connection, behind))
                there.start()
                _pump(behind, self.connection)
                there.join()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    with _serving(server):
        yield f"http://127.0.0.1:{server.server_port}", asked


def _pump(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[None]:
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate that vouches for itself: the file to trust, and the server's side."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, own = folder / "trusted.pem", folder / "own.pem"
    pem = serialization.Encoding.PEM
    trusted.write_bytes(made.public_bytes(pem))
    plain = serialization.NoEncryption()
    own.write_bytes(trusted.read_bytes() + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return trusted, context
