"""What it costs to know who is there: a warm and a cold assertion against the bare RSA verification."""

from __future__ import annotations

import asyncio
import time
from statistics import median

import httpx2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from app.access.claims import issuer_of, take_apart
from app.access.jwks import KeySet
from app.access.verifier import Verifier
from app.simulator import Application, Simulator, Team, running

CALLS = 2_000
ROUNDS = 5


async def measure() -> dict[str, float]:
    """Microseconds for each, medians of rounds that take turns."""
    team = Team("acme", now=time.time)  # noqa: TID251
    async with (
        running(Simulator(team, Application(origin="127.0.0.1:1", host="x"))) as access,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        return await _measure(team, access.certs_url, http)


async def _measure(team: Team, certs_url: str, http: httpx2.AsyncClient) -> dict[str, float]:
    keys = KeySet(certs_url, http, time.time, None)  # noqa: TID251
    verify = Verifier(keys, issuer=issuer_of("acme"), audiences=frozenset({team.aud}), now=time.time)  # noqa: TID251
    known = team.token().encode()
    await verify(known)
    public = team.current.private.public_key()
    bare, cold, warm = list[float](), list[float](), list[float]()
    for number in range(ROUNDS):
        tokens = [team.token(n=number * CALLS + i).encode() for i in range(CALLS // 4)]
        parts = [take_apart(token) for token in tokens]
        began = time.perf_counter()
        for part in parts:
            public.verify(part.signature, part.signing_input, padding.PKCS1v15(), hashes.SHA256())
        bare.append((time.perf_counter() - began) / len(parts) * 1e6)
        began = time.perf_counter()
        for token in tokens:
            await verify(token)
        cold.append((time.perf_counter() - began) / len(tokens) * 1e6)
        began = time.perf_counter()
        for _ in range(CALLS):
            await verify(known)
        warm.append((time.perf_counter() - began) / CALLS * 1e6)
    return {"warm": median(warm), "cold": median(cold), "bare RSA": median(bare)}


if __name__ == "__main__":
    print(asyncio.run(measure()))
