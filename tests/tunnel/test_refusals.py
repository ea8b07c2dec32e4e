"""Whose no proves something: each row an answer, and what it means at brain.example.com behind team acme."""

from __future__ import annotations

import pytest

from app.tunnel.answers import Answer
from app.tunnel.refusals import judge

PAGE = b'<p class="quiet">Request <code>1</code></p>'
RAY = {"server": "cloudflare", "cf-ray": "8f00-SIM"}
OURS = {**RAY, "x-request-id": "1"}
UNAUTHORIZED = b'{"error": "unauthorized"}'
WELL_KNOWN = "/.well-known/cloudflare-access-protected-resource/mcp"


def to(location: str, status: int = 302) -> Answer:
    return Answer(status, {**RAY, "location": location})


def challenged(scheme: str, metadata: str, status: int = 401) -> Answer:
    return Answer(status, {**RAY, "www-authenticate": f'{scheme} resource_metadata="{metadata}"'})


REFUSED = {
    "the login of the team": to("https://acme.cloudflareaccess.com/cdn-cgi/access/login/x"),
    "Managed OAuth": challenged("Bearer", f"https://brain.example.com{WELL_KNOWN}"),
    "Access, by its own scheme": challenged("Cloudflare-Access", f"https://brain.example.com{WELL_KNOWN}"),
    "a page of Access": Answer(403, {**RAY, "cf-access-error": '"no"'}, b"<html>"),
    "cloudflared without an assertion": Answer(403, RAY),
    "the tunnel door": Answer(401, OURS, UNAUTHORIZED),
    "the tunnel door, to people": Answer(401, {**OURS, "content-type": "text/html; charset=utf-8"}, PAGE),
    "the tunnel door, with a bearer token": Answer(401, OURS, b'{"error": "invalid_token"}'),
}
UNPROVEN = {
    "a bot rule": Answer(403, {**RAY, "cf-mitigated": "challenge"}, b"<html>Just a moment..."),
    "a bot rule, without a word": Answer(403, {**RAY, "cf-mitigated": "challenge"}),
    "a bot rule that says unavailable": Answer(503, {**RAY, "cf-mitigated": "challenge"}, b"<html>"),
    "a bot rule where Access has left its mark": Answer(
        403, {**RAY, "cf-mitigated": "challenge", "cf-access-error": "1"}
    ),
    "the browser integrity check": Answer(403, RAY, b"error code: 1010"),
    "a rule of the firewall": Answer(403, RAY, b"<html>Sorry, you have been blocked</html>"),
    "a rate limit of the zone": Answer(429, RAY, b"error code: 1015"),
    "our own rate limit": Answer(429, OURS, b'{"error": "rate_limited"}'),
    "anybody who is asked too often": Answer(429),
    "anybody with a bad request": Answer(400),
    "the edge with a bad request": Answer(400, RAY),
    "our own bad request": Answer(400, OURS, b'{"error": "invalid_request"}'),
    "our door under another name": Answer(421, OURS, b'{"error": "wrong_host"}'),
    "the LAN door": Answer(421, OURS, b'{"error": "misrouted"}'),
    "our door without keys": Answer(503, OURS, b'{"error": "temporarily_unavailable"}'),
    "another server, 401": Answer(401, {"server": "nginx"}),
    "another server, 403": Answer(403, {"server": "nginx"}),
    "another server in our words, without a mark": Answer(401, RAY, UNAUTHORIZED),
    "another server with our mark, in other words": Answer(401, OURS, b'{"error": "no"}'),
    "a page with the id of another request": Answer(
        401, {**OURS, "x-request-id": "2", "content-type": "text/html"}, PAGE
    ),
    "a page with our mark alone": Answer(401, {**OURS, "content-type": "text/html"}, b"<html>"),
    "Managed OAuth of another name": challenged("Bearer", f"https://evil.example{WELL_KNOWN}"),
    "a challenge of somebody's OAuth": challenged("Bearer", "https://brain.example.com/.well-known/x"),
    "a challenge that is no URL": challenged("Bearer", "https://[::bad"),
}
OPEN = {
    "an answer": Answer(200, RAY, b"{}"),
    "an answer beside a challenge": Answer(200, {**RAY, "cf-mitigated": "challenge"}),
    "not found": Answer(404),
    "a failure": Answer(500),
    "a login of its own": to("https://brain.example.com/login"),
    "a path": to("/cdn-cgi/access/login/x"),
    "the login of another team": to("https://attacker.cloudflareaccess.com/cdn-cgi/access/login/x"),
    "the login of a team below": to("https://x.acme.cloudflareaccess.com/cdn-cgi/access/login/x"),
    "a name that begins alike": to("https://acme.cloudflareaccess.com.evil.example/cdn-cgi/access/login/x"),
    "a name after an @": to("https://acme.cloudflareaccess.com@evil.example/cdn-cgi/access/login/x"),
    "another port": to("https://acme.cloudflareaccess.com:8443/cdn-cgi/access/login/x"),
    "without TLS": to("http://acme.cloudflareaccess.com/cdn-cgi/access/login/x"),
    "another page of the team": to("https://acme.cloudflareaccess.com/x"),
    "a redirect that keeps the body": to("https://acme.cloudflareaccess.com/cdn-cgi/access/login/x", 307),
    "no URL": to("https://[::bad"),
}
ROWS = [
    *((name, answer, "refused") for name, answer in REFUSED.items()),
    *((name, answer, "unproven") for name, answer in UNPROVEN.items()),
    *((name, answer, "open") for name, answer in OPEN.items()),
    *(
        (f"nobody there: {status}", Answer(status, RAY), "unreachable")
        for status in (502, 503, 504, 522, 530)
    ),
]


@pytest.mark.parametrize(("answer", "verdict"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_only_the_no_of_access_of_cloudflared_and_of_the_tunnel_door_is_one(
    answer: Answer, verdict: str
) -> None:
    assert judge(answer, team="acme", host="brain.example.com", forged=False)[0] == verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(502, RAY), "refused"),
        (Answer(502), "unreachable"),
        (Answer(502, {**RAY, "cf-mitigated": "challenge"}), "unproven"),
        (Answer(503, RAY), "unreachable"),
    ],
)
def test_cloudflared_says_502_to_an_assertion_that_does_not_verify(answer: Answer, verdict: str) -> None:
    assert judge(answer, team="acme", host="brain.example.com", forged=True)[0] == verdict


def test_a_team_of_the_government_cloud_has_its_own_login() -> None:
    login = to("https://acme.fed.cloudflareaccess.com/cdn-cgi/access/login/x")
    assert judge(login, team="acme.fed", host="brain.example.com", forged=False)[0] == "refused"
    assert judge(login, team="acme", host="brain.example.com", forged=False)[0] == "open"


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (UNPROVEN["a bot rule"], "Super Bot Fight Mode"),
        (UNPROVEN["the browser integrity check"], "Browser Integrity Check; or off"),
        (UNPROVEN["our own rate limit"], "Ask again in a minute"),
        (UNPROVEN["another server, 403"], "what stands in front of the name"),
    ],
)
def test_what_proves_nothing_says_what_to_do(answer: Answer, advice: str) -> None:
    assert advice in judge(answer, team="acme", host="brain.example.com", forged=False)[1]
