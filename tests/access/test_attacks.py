"""Every forged, twisted or foreign token of attacks.json is refused, and for the reason it should be."""

from __future__ import annotations

import time

import pytest

from app.access.claims import AssertionRefused, Identity, issuer_of, take_apart, verify
from app.simulator import SigningKey, Team
from tests.house import NIGHTLY, TEAM

from .conftest import Bench
from .craft import Case, cases, craft, five_parts, nested

ATTACKS, ACCEPTED = cases("attacks.json"), cases("accepted.json")


def identity(token: bytes, team: Team) -> Identity:
    public = {key.kid: key.private.public_key() for key in (team.current, team.previous)}
    parts = take_apart(token)
    if parts.kid not in public:
        raise AssertionRefused("kid_unknown")
    key, audiences = public[parts.kid], frozenset({team.aud})
    return verify(parts, key, issuer=issuer_of(TEAM), audiences=audiences, now=team.now())


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_no_attack_passes(
    attack: Case, team: Team, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> None:
    """The pure half of the verifier; a kid that is not the team's is all that it leaves to the keys."""
    with pytest.raises(AssertionRefused) as refused:
        identity(craft(attack, team, signing_keys[2]).encode(), team)
    assert refused.value.reason == attack.reason


async def test_the_whole_verifier_gives_each_attack_the_same_reason(bench: Bench) -> None:
    found = {
        attack.name: await bench.reason(craft(attack, bench.team, bench.other).encode()) for attack in ATTACKS
    }
    assert found == {attack.name: attack.reason for attack in ATTACKS}


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
async def test_what_access_may_send_is_accepted(case: Case, bench: Bench) -> None:
    identity = await bench.who(craft(case, bench.team, bench.other))
    assert identity.principal.id == case.how["who"]


async def test_every_claim_and_header_of_a_real_token_is_understood(bench: Bench) -> None:
    person = (await bench.who(bench.team.token("bob@example.com", groups=["staff"]))).principal
    assert (person.kind, person.email, person.door) == ("person", "bob@example.com", "tunnel")
    assert person.groups == {"staff"}
    service = (await bench.who(bench.team.service_token(NIGHTLY))).principal
    assert (service.kind, service.id, service.email) == ("service", NIGHTLY, None)


async def test_the_session_token_of_the_team_is_not_an_application_token(bench: Bench) -> None:
    assert await bench.reason(bench.team.org_token()) == "type"


async def test_groups_from_a_token_are_never_taken_for_all_of_them(bench: Bench) -> None:
    many = [f"group-{number:03}" for number in range(300)]
    person = (await bench.who(bench.team.token(groups=many))).principal
    assert 0 < len(person.groups) < len(many)
    assert not person.groups_complete


async def test_encrypted_and_nested_tokens_are_refused(bench: Bench) -> None:
    assert await bench.reason(five_parts(bench.team)) == "malformed"
    assert await bench.reason(nested(bench.team)) == "malformed"


async def test_a_megabyte_is_refused_unread_and_at_once(bench: Bench) -> None:
    token = b"a" * 1024 * 1024
    began = time.perf_counter()
    assert await bench.reason(token) == "too_large"
    assert time.perf_counter() - began < 0.005
    assert bench.certs.requests == 0
