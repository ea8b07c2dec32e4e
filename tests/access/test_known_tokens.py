"""The cache of verified tokens: bounded, forgetful, and never the reason why somebody stays in."""

from __future__ import annotations

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.access.claims import LEEWAY, issuer_of
from app.access.jwks import REFRESH_AFTER, KeySet
from app.access.verifier import Verifier
from tests.house import TEAM

from .conftest import Bench


class CountedKeys(KeySet):
    """Counts how often a key was needed: that often, a signature was checked."""

    asked = 0

    async def key(self, kid: str) -> RSAPublicKey:
        self.asked += 1
        return await super().key(kid)


def counted(bench: Bench, http: httpx2.AsyncClient, size: int) -> CountedKeys:
    keys = CountedKeys(bench.access.certs_url, http, bench.clock, None)
    bench.keys = keys
    bench.verifier = Verifier(
        keys,
        issuer=issuer_of(TEAM),
        audiences=frozenset({bench.team.aud}),
        now=bench.clock,
        cache_size=size,
    )
    return keys


async def test_a_token_is_checked_once_and_believed_after_that(bench: Bench) -> None:
    keys = counted(bench, bench.http, 10)
    token = bench.team.token()
    first = await bench.who(token)
    assert [await bench.who(token) for _ in range(20)] == [first] * 20
    assert keys.asked == 1


async def test_the_cache_is_bounded_and_the_least_recently_used_goes_first(bench: Bench) -> None:
    keys = counted(bench, bench.http, 3)
    first, second, third, fourth = (bench.team.token(f"{name}@example.com") for name in "abcd")
    for token in (first, second, third, first, fourth):  # `second` has to go
        await bench.who(token)
    assert keys.asked == 4
    for token in (first, third, fourth):
        await bench.who(token)
    assert keys.asked == 4
    await bench.who(second)
    assert keys.asked == 5


async def test_a_known_token_ends_with_its_exp(bench: Bench) -> None:
    token = bench.team.token(exp=int(bench.clock()) + 100)
    await bench.who(token)
    bench.clock.advance(100 + LEEWAY - 1)
    await bench.who(token)
    bench.clock.advance(1)
    assert await bench.reason(token) == "expired"


async def test_a_known_token_ends_when_its_key_leaves_the_set(bench: Bench) -> None:
    token = bench.team.token()
    await bench.who(token)
    bench.team.rotate_keys(bench.other)
    bench.team.rotate_keys(bench.team.previous)  # the key of `token` is published twice over …
    await bench.keys.refresh()
    await bench.who(token)
    bench.team.current = bench.team.previous = bench.other  # … and now no more
    bench.clock.advance(REFRESH_AFTER)
    await bench.who(token)  # sets off the refresh that brings it to light
    await bench.fresh()
    assert await bench.reason(token) == "kid_unknown"


async def test_a_refused_token_is_never_remembered_as_good(bench: Bench) -> None:
    keys = counted(bench, bench.http, 10)
    token = bench.team.token(nbf=int(bench.clock()) + 60)
    for _ in range(3):
        assert await bench.reason(token) == "not_yet_valid"
    assert keys.asked == 3
    bench.clock.advance(30)
    assert (await bench.who(token)).principal.id == "alice@example.com"


@pytest.mark.parametrize("changed", [0, 40, 400, -2])
async def test_a_known_token_with_one_letter_changed_is_not_known(bench: Bench, changed: int) -> None:
    token = bench.team.token()
    await bench.who(token)
    letters = list(token)
    letters[changed] = "Q" if letters[changed] != "Q" else "R"
    assert await bench.reason("".join(letters)) in ("bad_signature", "malformed", "kid_unknown", "alg")
