"""Who gave an answer, and what it means: the judgements without a world."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.doctor import edge, programs, provisioning, streams
from app.doctor.clients import CLIENTS
from app.doctor.keys import clock_verdict
from app.doctor.provisioning import days_left
from app.doctor.streams import Streamed
from app.doctor.tunnel import metrics_in
from app.provision.applications import REDIRECTS
from app.tunnel.answers import Answer, Unreached, blocked_by, edge_error, who
from app.tunnel.refusals import Refusal

RAY = {"server": "cloudflare", "cf-ray": "8f00-SIM"}
LOGIN = "https://acme.cloudflareaccess.com/cdn-cgi/access/login/brain.example.com?kid=" + "a" * 64
OURS = {"x-request-id": "1", "content-type": "application/json"}


@pytest.mark.parametrize(
    ("answer", "speaker"),
    [
        (Answer(302, {**RAY, "location": LOGIN}), "Access"),
        (Answer(403, {**RAY, "cf-access-error": '"no"'}, b"<html>"), "Access"),
        (
            Answer(401, {**RAY, "www-authenticate": 'Bearer resource_metadata="https://b/.well-known/cloudflare-access-protected-resource/mcp"'}),
            "Access",
        ),
        (Answer(302, {**RAY, "www-authenticate": 'Cloudflare-Access resource_metadata="b"'}), "Access"),
        (Answer(401, {**RAY, **OURS}, b'{"error": "unauthorized"}'), "the tunnel door"),
        (Answer(421, {**RAY, **OURS}, b'{"error": "misrouted"}'), "the LAN door"),
        (Answer(403, RAY), "cloudflared"),
        (Answer(404, RAY), "cloudflared"),
        (Answer(403, {**RAY, "cf-mitigated": "challenge"}, b"<html>"), "a rule of the zone"),
        (Answer(403, RAY, b"error code: 1010"), "a rule of the zone"),
        (Answer(403, RAY, b"<html>Sorry, you have been blocked</html>"), "a rule of the zone"),
        (Answer(429, RAY, b"error code: 1015"), "a rule of the zone"),
        (Answer(530, RAY, b"error code: 1033"), "the edge"),
        (Answer(200, {"server": "nginx"}, b"Welcome"), "somebody else"),
    ],
)  # fmt: skip
def test_every_answer_has_somebody_who_gave_it(answer: Answer, speaker: str) -> None:
    assert who(answer) == speaker


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (Answer(403, {**RAY, "cf-mitigated": "challenge"}), "a bot rule (challenge)"),
        (Answer(403, RAY, b"error code: 1010"), "Browser Integrity Check refuses this User-Agent"),
        (Answer(403, RAY, b"error code: 1020"), "a custom rule of the zone (WAF) refuses it"),
        (Answer(403, RAY, b'<span class="cf-error-code">1009</span>'), "the zone blocks this country"),
        (Answer(403, RAY, b"<html>blocked</html>"), "a rule of the zone"),
    ],
)
def test_a_403_says_which_rule_it_is_of(answer: Answer, rule: str) -> None:
    assert blocked_by(answer) == rule


def test_the_numbers_of_the_edge_are_read_from_plain_texts_and_pages() -> None:
    assert edge_error(Answer(530, RAY, b"error code: 1033")) == "1033"
    assert edge_error(Answer(530, RAY, b"<title>Error 1016</title>")) == "1016"
    assert edge_error(Answer(522, RAY, b"<html>")) == "522"
    assert edge_error(Answer(404, RAY, b"not here")) == ""


@pytest.mark.parametrize("code", edge.ERRORS)
def test_every_error_of_the_edge_has_a_meaning_and_a_fix(code: str) -> None:
    status = int(code) if int(code) < 1000 else 530
    verdict = edge.edge(Answer(status, RAY, f"error code: {code}".encode()), "brain.example.com")
    assert verdict.ok is False
    assert (verdict.evidence, verdict.fix) == (f"error {code}: {edge.ERRORS[code][0]}", edge.ERRORS[code][1])


def test_what_cloudflared_says_without_a_number_is_not_what_the_door_says() -> None:
    assert "no ingress rules" in edge.edge(Answer(503, RAY), "brain.example.com").evidence
    keys = Answer(503, {**RAY, **OURS}, b'{"error": "keys_unavailable"}')
    assert (
        edge.edge(keys, "brain.example.com").evidence == "the tunnel door answers: HTTP 503 keys_unavailable"
    )


def test_another_server_behind_the_name_is_no_cloudflare() -> None:
    verdict = edge.edge(Answer(200, {"server": "nginx"}, b"Welcome"), "brain.example.com")
    assert verdict.ok is False
    assert "another server (nginx)" in verdict.evidence


def test_a_door_that_was_shut_off_is_no_failure() -> None:
    verdict = edge.edge(Answer(503, {**RAY, **OURS}, b'{"error": "door_closed"}'), "brain.example.com")
    assert (verdict.ok, verdict.fix) == (None, "")
    assert "brain undeny door:tunnel" in verdict.evidence


def test_an_answer_to_a_stranger_is_the_worst_there_is() -> None:
    verdict = edge.closed({"nothing": ("open", "200"), "a made-up cookie": ("refused", "403")})
    assert verdict.ok is False
    assert verdict.lines == ("nothing: 200",)
    assert verdict.fix.startswith("now: brain tunnel down")
    page = edge.application(Answer(200, RAY, b"{}"), "/mcp", ["acme.cloudflareaccess.com"], frozenset())
    assert (page.ok, page.evidence) == (False, "/mcp is open to anybody: HTTP 200")


@pytest.mark.parametrize(
    ("what", "seen"),
    [("unreachable", "no answer in time (15 s)"), ("unproven", "403 by a bot rule (challenge)")],
)
def test_where_nothing_is_proven_nothing_is_green(what: Refusal, seen: str) -> None:
    nothing = edge.closed({f"attempt {number}": (what, seen) for number in range(13)})
    assert nothing.ok is None
    assert nothing.evidence == f"13 of 13 attempts prove nothing; attempt 0: {seen}"
    one = edge.closed({"nothing": ("refused", "401"), "a made-up cookie": (what, seen)})
    assert one.ok is None
    worse = edge.closed({"nothing": ("open", "200"), "a made-up cookie": (what, seen)})
    assert worse.ok is False
    assert edge.closed({"nothing": ("refused", "401")}).ok is True


@pytest.mark.parametrize(
    ("detail", "host", "advice"),
    [
        ("unable to get local issuer certificate", "brain.example.com", "SSL_CERT_FILE"),
        ("self-signed certificate in certificate chain", "brain.example.com", "SSL_CERT_FILE"),
        ("Hostname mismatch", "notes.brain.example.com", "one label below the domain"),
        ("Hostname mismatch", "brain.example.com", "wait some minutes"),
    ],
)
def test_a_bad_certificate_of_the_edge_has_its_own_fix(detail: str, host: str, advice: str) -> None:
    verdict = edge.certificate(Unreached("certificate", detail), host, 0.0)
    assert verdict.ok is False
    assert advice in verdict.fix


def test_a_certificate_that_is_not_renewed_any_more_is_told_before_it_ends() -> None:
    answer = Answer(401, RAY, certificate={"notAfter": "Jan  3 00:00:00 2027 GMT"})
    ends = 1_798_934_400.0
    assert edge.certificate(answer, "brain.example.com", ends - 4 * 86_400).ok is True
    late = edge.certificate(answer, "brain.example.com", ends - 2 * 86_400)
    assert (late.ok, late.evidence) == (False, "it ends in 2 days")


def test_a_redirect_of_the_path_with_a_slash_loses_the_credential() -> None:
    challenge = (
        'Bearer resource_metadata="https://brain.example.com/.well-known/oauth-protected-resource/mcp"'
    )
    first = Answer(401, {**RAY, **OURS, "www-authenticate": challenge})
    moved = Answer(307, {**RAY, "location": "http://brain.example.com/mcp"})
    assert edge.unauthenticated(first, first, oauth=True).ok is True
    verdict = edge.unauthenticated(first, moved, oauth=True)
    assert (verdict.ok, verdict.evidence) == (
        False,
        "/mcp gets a 401, and /mcp/ gets HTTP 307 to brain.example.com",
    )


def test_managed_oauth_in_front_of_the_inner_server_is_named() -> None:
    metadata = "https://brain.example.com/.well-known/cloudflare-access-protected-resource/mcp"
    first = Answer(401, {**RAY, "www-authenticate": f'Bearer realm="OAuth", resource_metadata="{metadata}"'})
    assert edge.unauthenticated(first, first, oauth=False).ok is True
    verdict = edge.unauthenticated(first, first, oauth=True)
    assert verdict.ok is False
    assert "Managed OAuth" in verdict.fix


@pytest.mark.parametrize(
    ("told", "ok", "words"),
    [
        (Streamed(405, False, None, 0, 0, False), None, "no stream of its own"),
        (Streamed(200, False, None, 0, 0, False), None, "no stream of its own"),
        (Streamed(200, True, 0.2, 15.0, 131.0, False), True, "first byte after 0.2 s, idle for 130 s"),
        (Streamed(200, True, 31.0, 31.0, 131.0, False), False, "buffers"),
        (Streamed(200, True, None, 140.0, 140.0, True), False, "not at all"),
        (Streamed(200, True, 0.2, 100.0, 101.0, True), False, "broke off after 101 s"),
        (Streamed(200, True, 0.2, 90.0, 131.0, False), False, "90 s passed without a byte"),
        (Streamed(403, False, None, 0, 0, False), False, "HTTP 403"),
        (Unreached("time", "ReadTimeout"), False, "no answer in time"),
    ],
)
def test_what_became_of_an_idle_stream(told: Streamed | Unreached, ok: bool | None, words: str) -> None:
    verdict = streams.stream(told, 130)
    assert verdict.ok is ok
    assert words in verdict.evidence
    assert bool(verdict.fix) is (ok is False)


@pytest.mark.parametrize("status", [400, 413, 431, 502])
def test_a_long_head_or_body_that_does_not_get_through_is_named(status: int) -> None:
    good = Answer(401, {**RAY, **OURS}, b'{"error": "unauthorized"}')
    assert streams.limits(good, good).ok is True
    assert "head of 15,000 bytes" in streams.limits(Answer(status, RAY), good).evidence
    assert "body of 1,048,576 bytes" in streams.limits(good, Answer(status, RAY)).evidence


@pytest.mark.parametrize(
    ("ahead", "ok"), [(0.0, True), (1.4, True), (-12.0, True), (16.0, False), (-300.0, False)]
)
def test_a_clock_may_be_half_as_wrong_as_assertions_forgive(ahead: float, ok: bool) -> None:
    assert clock_verdict(ahead).ok is ok


def refusal(error: str, description: str) -> Answer:
    return Answer(400, RAY, json.dumps({"error": error, "error_description": description}).encode())


def test_a_registration_of_the_doctor_leaves_nothing_behind_and_still_tells() -> None:
    refused = refusal("invalid_client_metadata", "redirect_uri is not allowed by the account configuration")
    taken = refusal("invalid_client_metadata", "response_types must contain code.")
    ours = refusal("invalid_redirect_uri", "Redirect URI number 1 has dot segments.")
    assert programs.registrations({"https://a/cb": taken}, oauth=True).ok is True
    assert programs.registrations({"https://a/cb": refused}, oauth=False).lines == ("https://a/cb",)
    assert programs.registrations({"https://a/cb": ours}, oauth=True).ok is False


def test_what_is_provisioned_allows_every_client_that_the_doctor_knows() -> None:
    named = [uri for client in CLIENTS for uri in client.redirects if not uri.startswith("http://")]
    assert [uri for uri in named if uri not in REDIRECTS] == []


def test_of_several_cloudflareds_ours_is_the_one_with_our_token() -> None:
    token = Path("/data/tunnel/token")
    ours = f"/usr/bin/cloudflared tunnel --metrics 127.0.0.1:41000 run --token-file {token}"
    other = "cloudflared tunnel --metrics 127.0.0.1:42000 run --token-file /etc/other"
    assert metrics_in(f"{other}\n{ours}\nbash", "", token) == ["127.0.0.1:41000"]
    assert metrics_in(other, "", token)[:2] == ["127.0.0.1:42000", "127.0.0.1:20241"]
    assert metrics_in(other, "cloudflared:20241", token) == ["cloudflared:20241"]
    assert metrics_in("cloudflared --metrics 192.0.2.7:80", "", token)[0] == "127.0.0.1:20241"
    assert metrics_in("grep --metrics", "", token)[0] == "127.0.0.1:20241"


def test_days_are_counted_from_the_time_that_the_api_writes() -> None:
    assert days_left("2027-01-15T08:00:00Z", 1_800_000_000.0) == 0.0
    assert provisioning.SOON_DAYS > 0
