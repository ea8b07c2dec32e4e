"""Whatever is sent, the answer is one of ours: C10. And redirect URIs that match are the registered ones."""

from __future__ import annotations

import random
from urllib.parse import urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st

from app.oauth import redirects
from app.oauth.client_auth import ASSERTION_TYPE

from .desk import ISSUER, Desk

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PIECES = [
    *b"grant_type= authorization_code refresh_token client_credentials & & = % %ff %00 client_id=".split(),
    *b"code= code_verifier= token= client_secret= scope= resource= client_assertion= a.b.c".split(),
    *b"e30.eyJzdWIiOiJ4In0.x e30.eyJzdWIiOiJcdWQ4MDAifQ.x request= decision=allow".split(),
    *b'{"redirect_uris": ["https://a.example/"] } [ " 1e999 response_type=code redirect_uri= state='.split(),
    *(b"\x00", b"\xff", b"client_assertion_type=" + ASSERTION_TYPE.encode()),
]


async def test_C10_no_body_and_no_query_brings_a_failure(desk: Desk) -> None:
    chance = random.Random(7)
    for _ in range(300):
        desk.clock.advance(10)  # so that few are limited
        body = b"".join(chance.choices(PIECES, k=chance.randrange(1, 12)))
        path = chance.choice(["/register", "/token", "/revoke", "/introspect", "/consent"])
        headers = {"content-type": chance.choice([FORM, FORM, JSON, "x"]), "origin": ISSUER}
        if chance.random() < 0.3:
            headers["authorization"] = chance.choice(["Basic", "Basic OjpAOg==", "Bearer x", "Basic //8="])
        reply = await desk.browser.post(path, content=body, headers=headers)
        assert 400 <= reply.status_code < 500 or reply.status_code == 201
        assert "Traceback" not in reply.text
        query = body.replace(b"\x00", b"").replace(b"\xff", b"").decode()
        assert (await desk.browser.get(f"/authorize?{query}".replace("#", ""))).status_code in (400, 429)


URIS = st.one_of(
    st.text(max_size=40),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["http://", "https://", "http:", "cursor://", "javascript:"]),
        st.sampled_from(
            ["127.0.0.1", "localhost", "[::1]", "a.example", "127.0.0.1@a.example", "u@localhost"]
        ),
        st.sampled_from(["", ":", ":1", ":65536", ":99999", ":80@a.example", ".evil.example"]),
        st.sampled_from(["", "/", "/cb", "/cb?x", "/../cb", "#", "\\", "/cb\n"]),
    ),
)


@settings(max_examples=300, deadline=None)
@given(registered=URIS, asked=URIS)
def test_F4_F5_what_matches_differs_in_a_loopback_port_at_most(registered: str, asked: str) -> None:
    if redirects.problem(registered) is not None or not redirects.matches(registered, asked):
        return
    if registered != asked:
        known, wanted = urlsplit(registered), urlsplit(asked)
        assert known.scheme == wanted.scheme == "http"
        assert known.hostname == wanted.hostname
        assert known.hostname in ("127.0.0.1", "localhost", "::1")
        assert (known.path, known.query) == (wanted.path, wanted.query)
        assert wanted.username is None


@settings(max_examples=300, deadline=None)
@given(uri=URIS)
def test_D6_to_D10_what_may_be_registered_goes_to_https_this_machine_or_an_app(uri: str) -> None:
    if redirects.problem(uri) is None:
        parts = urlsplit(uri)
        loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        app = parts.scheme in redirects.EDITORS or "." in parts.scheme
        assert loopback or app or (parts.scheme == "https" and parts.hostname)
        assert parts.username is None
        assert not parts.fragment
