"""A web of a few names: one https server on loopback that is each of the hosts it has an application for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.simulator.server import LoopbackServer, listen

FROM, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass
class Web:
    """`hosts`: who answers to which name; may change at any time. `key_sha256`: of the certificate's key."""

    port: int
    key_sha256: str
    hosts: dict[str, ASGIApp] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope["headers"]).get(b"host", b"").decode()
        app = self.hosts.get(host) or PlainTextResponse(f"Nobody is {host}.", 404)
        await app(scope, receive, send)


@contextlib.asynccontextmanager
async def web(folder: Path, *names: str) -> AsyncIterator[Web]:
    """Serves the `names` until the block ends. `folder` takes the key of their certificate."""
    pem, key_sha256 = certificate(*names)
    file = folder / "web.pem"
    file.write_bytes(pem)
    bound = listen("127.0.0.1", 0)
    served = Web(bound.getsockname()[1], key_sha256)
    config = uvicorn.Config(
        served, lifespan="off", ws="none", log_config=None, proxy_headers=False, ssl_certfile=file
    )
    config.load()
    server = LoopbackServer(config)
    server.lifespan = config.lifespan_class(config)
    server.sockets = [bound]
    await server.startup(sockets=server.sockets)
    try:
        yield served
    finally:
        await server.stop()


def certificate(*names: str) -> tuple[bytes, str]:
    """Key and self-signed certificate as PEM, and the SHA-256 of the public key in base64."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FROM)
        .not_valid_after(UNTIL)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + made.public_bytes(Encoding.PEM), base64.b64encode(
        hashlib.sha256(public).digest()
    ).decode()
