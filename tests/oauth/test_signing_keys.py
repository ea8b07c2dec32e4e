"""The signing keys: where they are, how they change hands, and what others see of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.oauth.keys import ANNOUNCED_SECONDS, JWKS_SECONDS, KeysUnusable, SigningKeys
from app.oauth.minting import TokenRefused
from app.oauth.models import ACCESS_SECONDS
from tests.house import Clock

from .holders import RESOURCE, Holders, same_keys


def token_of(keys: SigningKeys, clock: Clock) -> str:
    return keys.mint(
        sub="person:a", client_id="c", scopes=("s",), resource=RESOURCE, grant_id="g", now=clock()
    ).token


def kids(keys: SigningKeys, clock: Clock) -> list[str]:
    return [key["kid"] for key in keys.jwks(clock())["keys"]]


def test_M18_the_files_are_the_owners_alone_and_the_keys_are_long_enough(tmp_path: Path) -> None:
    clock = Clock()
    keys = same_keys(tmp_path, clock)
    folder = tmp_path / "oauth-keys"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in folder.iterdir())
    (public,) = keys.jwks(clock())["keys"]
    assert len(public["n"]) >= 342  # 2048 bits
    curve = same_keys(tmp_path / "other", clock, algorithm="ES256").jwks(clock())["keys"]
    assert curve[0]["crv"] == "P-256"
    (folder / "keys.json").chmod(0o640)
    with pytest.raises(KeysUnusable):
        same_keys(tmp_path, clock)


def test_M12_only_public_members_are_published(tmp_path: Path) -> None:
    clock = Clock()
    (public,) = same_keys(tmp_path, clock).jwks(clock())["keys"]
    assert public.keys() == {"kty", "n", "e", "kid", "use", "alg"}
    (public,) = same_keys(tmp_path / "b", clock, algorithm="ES256").jwks(clock())["keys"]
    assert public.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}


@pytest.mark.asyncio(loop_scope="module")
async def test_M12_the_document_at_its_address(at_home: Holders) -> None:
    answer = await at_home.house.tunnel_request("GET", "/jwks")
    assert answer.status_code == 200
    assert answer.headers["content-type"] in ("application/json", "application/jwk-set+json")
    assert answer.json() == at_home.keys.jwks(at_home.house.clock())
    assert f"max-age={JWKS_SECONDS}" in answer.headers["cache-control"]


def test_two_that_start_together_make_one_key(tmp_path: Path) -> None:
    clock = Clock()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: same_keys(tmp_path, clock), range(4)))
    assert len({tuple(kids(keys, clock)) for keys in made}) == 1


def test_M13_a_new_key_is_seen_before_it_signs_and_the_old_until_its_last_token_is_dead(
    tmp_path: Path,
) -> None:
    clock = Clock()
    one, other = same_keys(tmp_path, clock), same_keys(tmp_path, clock)
    (old,) = kids(one, clock)
    new = one.rotate()
    clock.advance(1)
    assert set(kids(other, clock)) == {old, new}  # noticed without a restart
    assert old in _header(token_of(other, clock))
    clock.advance(ANNOUNCED_SECONDS - 2)
    last = token_of(other, clock)
    assert old in _header(last)
    clock.advance(1)
    assert new in _header(token_of(other, clock))
    clock.advance(ACCESS_SECONDS - 2)
    assert one.read(last, clock()).client_id == "c"
    clock.advance(2)
    assert kids(other, clock) == [new]


def test_M13_a_token_of_a_key_that_is_new_here_is_known_at_once(tmp_path: Path) -> None:
    clock = Clock()
    one, other = same_keys(tmp_path, clock), same_keys(tmp_path, clock)
    token = token_of(one, clock)
    assert other.vouches_for(kids(other, clock)[0], clock())
    one.rotate(at_once=True)
    assert other.read(token_of(one, clock), clock()).client_id == "c"  # the clock has not moved
    with pytest.raises(TokenRefused):
        other.read(token, clock())


def test_another_algorithm_is_a_rotation(tmp_path: Path) -> None:
    clock = Clock()
    token = token_of(same_keys(tmp_path, clock), clock)
    keys = same_keys(tmp_path, clock, algorithm="ES256")
    assert keys.read(token, clock()).client_id == "c"
    assert "RS256" in _header(token_of(keys, clock))
    clock.advance(ANNOUNCED_SECONDS)
    assert "ES256" in _header(token_of(keys, clock))


def test_a_broken_file_keeps_the_keys_that_were_good(tmp_path: Path) -> None:
    clock = Clock()
    keys = same_keys(tmp_path, clock)
    token = token_of(keys, clock)
    (tmp_path / "oauth-keys" / "keys.json").write_text("{")
    clock.advance(1)
    assert keys.read(token, clock()).client_id == "c"
    with pytest.raises(KeysUnusable):
        same_keys(tmp_path, clock)


def _header(token: str) -> str:
    from app.strict import base64url

    return json.dumps(json.loads(base64url(token.partition(".")[0].encode())))
