from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from app.simulator import Person, SigningKey, Team
from app.simulator.keys import encode_bytes, hmac_sha256, unsigned
from app.simulator.team import trimmed

from .conftest import Clock

Keys = tuple[SigningKey, SigningKey, SigningKey]


def claims(token: str) -> dict[str, Any]:
    return read(token.split(".")[1])


def header(token: str) -> dict[str, Any]:
    return read(token.split(".")[0])


def read(part: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def test_a_persons_token_has_exactly_the_documented_header_and_claims(team: Team) -> None:
    token = team.token("alice@example.com")
    assert header(token) == {"alg": "RS256", "kid": team.current.kid, "typ": "JWT"}
    assert sorted(claims(token)) == [
        "aud",
        "country",
        "email",
        "exp",
        "iat",
        "identity_nonce",
        "iss",
        "nbf",
        "sub",
        "type",
    ]
    assert claims(token)["aud"] == [team.aud]
    assert len(team.aud) == 64
    assert len(claims(token)["identity_nonce"]) == 16
    assert claims(token)["iss"] == "https://acme.cloudflareaccess.com"
    assert claims(token)["type"] == "app"


def test_a_service_tokens_token_has_no_email_no_nbf_and_an_empty_subject(team: Team) -> None:
    token = claims(team.service_token("0123.access"))
    assert sorted(token) == ["aud", "common_name", "exp", "iat", "iss", "sub", "type"]
    assert (token["common_name"], token["sub"], token["type"]) == ("0123.access", "", "app")


def test_a_global_session_token_says_so_in_its_type(team: Team) -> None:
    assert claims(team.org_token())["type"] == "org"


def test_time_in_tokens_is_the_clock_passed_in(team: Team, clock: Clock) -> None:
    clock.at = 1000.9
    token = claims(team.token())
    assert (token["iat"], token["nbf"], token["exp"]) == (1000, 1000, 1000 + 24 * 3600)


def test_the_subject_of_a_person_stays_the_same_from_token_to_token(team: Team) -> None:
    assert claims(team.token())["sub"] == claims(team.token())["sub"]
    assert claims(team.token("who@else.example"))["sub"] == claims(team.token("who@else.example"))["sub"]


def test_claims_and_headers_can_be_set_and_removed(team: Team) -> None:
    token = team.token(headers={"crit": ["x"]}, without_headers=["kid"], aud="one", without=["nbf", "exp"])
    assert header(token) == {"alg": "RS256", "typ": "JWT", "crit": ["x"]}
    assert claims(token)["aud"] == "one"
    assert not {"nbf", "exp"} & set(claims(token))


def test_groups_travel_only_where_they_are_configured_as_a_custom_claim(team: Team) -> None:
    assert "custom" not in claims(team.token())
    team.groups_claim = True
    assert claims(team.token())["custom"] == {"groups": ["family", "admins"]}
    assert claims(team.token(groups=["x"], custom={"unit": "a"}))["custom"] == {"unit": "a", "groups": ["x"]}
    assert "custom" not in claims(team.token(groups=()))


def test_a_custom_claim_over_one_kilobyte_loses_its_end() -> None:
    groups = [f"group-{number:03}" for number in range(200)]
    short = trimmed({"unit": "a", "groups": groups})["groups"]
    assert short == groups[: len(short)]
    assert 0 < len(short) < 200
    assert trimmed({"unit": "a", "photo": "x" * 2000}) == {"unit": "a"}


def test_the_team_reads_its_own_tokens_and_no_others(team: Team, keys: Keys) -> None:
    assert team.person_of(team.token()) == team.people["alice@example.com"]
    refused = [
        "",
        "a.b.c",
        team.token("stranger@example.com"),
        team.token(key=keys[2]),
        team.token(sign=keys[2].sign),
        team.token(sign=unsigned, headers={"alg": "none"}),
        team.token(sign=hmac_sha256(team.current.public_pem()), headers={"alg": "HS256"}),
        team.token(aud=["0" * 64]),
        team.token(iss="https://other.cloudflareaccess.com"),
        team.token(exp=team.now()),
        team.token(nbf=team.now() + 1),
        team.org_token(),
        team.service_token("0123.access"),
        encode_bytes(b"{", b"{", team.current.sign),
    ]
    assert [team.person_of(token) for token in refused] == [None] * len(refused)


def test_after_one_rotation_old_tokens_verify_and_after_two_they_do_not(team: Team, keys: Keys) -> None:
    token = team.token()
    team.rotate_keys(keys[2])
    assert team.verified(token) is not None
    team.rotate_keys(keys[1])
    assert team.verified(token) is None


def test_a_revoked_person_is_out_although_the_signature_stays_good(team: Team) -> None:
    token, other = team.token(), team.token("bob@example.com")
    team.revoke("alice@example.com")
    assert team.person_of(token) is None
    assert team.verified(token) is not None
    assert team.person_of(other) is not None
    assert team.person_of(team.token()) is not None


def test_keys_are_rsa_2048_and_a_new_team_has_two_of_its_own() -> None:
    team = Team(now=lambda: 0.0, people=[Person("a@example.com")])
    assert team.current.private.key_size == team.previous.private.key_size == 2048
    assert team.current.kid != team.previous.kid


@pytest.mark.parametrize("secret_of", ["token", "team"])
def test_a_service_tokens_secret_never_shows_in_a_repr(team: Team, secret_of: str) -> None:
    shown = repr(team.service_tokens["0123.access"] if secret_of == "token" else team.service_tokens)
    assert "the-secret" not in shown


def test_a_managed_oauth_bearer_ends_after_a_quarter_of_an_hour_or_with_its_sessions(
    team: Team, clock: Clock
) -> None:
    bearer, other = team.managed_oauth_token("bob@example.com"), team.managed_oauth_token("alice@example.com")
    clock.advance(15 * 60 - 1)
    assert team.person_of_bearer(bearer) is not None
    assert team.person_of_bearer(bearer, "e" * 64) is None
    team.revoke("alice@example.com")
    assert team.person_of_bearer(other) is None
    clock.advance(1)
    assert team.person_of_bearer(bearer) is None
