"""Clients by the documents they publish: what is fetched, from where, and what is made of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.oauth.cimd import PER_HOST, ClientKeysUnavailable, pinned
from app.oauth.documents import DocumentRefused, Hosts, address_of, client_of
from app.oauth.guarded import is_public

from .publisher import Reader, a_document, reading

HERE = Path(__file__).parent
BAD_IDS: list[str] = json.loads((HERE / "bad_client_ids.json").read_text())
BAD_DOCUMENTS: list[dict[str, Any]] = json.loads((HERE / "bad_documents.json").read_text())
INNER = [
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.0.8", "198.18.0.1", "203.0.113.1", "240.0.0.1"),  # noqa: S104
    *(
        "::1",
        "::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
    ),
    *(
        "64:ff9b::a00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "2002:a00:1::",
        "2001::1",
        "2001:db8::1",
        "::8.8.8.8",
    ),
    *("fe80::1%eth0", "client.example", "", "127.1", "0x7f000001"),
]


async def refused(reader: Reader, url: str | None = None) -> DocumentRefused:
    with pytest.raises(DocumentRefused) as refusal:
        await reader.clients(url or reader.url)
    return refusal.value


async def test_E1_E15_a_good_document() -> None:
    async with reading() as reader:
        document = a_document(
            reader.url,
            grant_types=[
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
            ],
            software_id="x",
            logo_uri="https://client.example/logo.png",
            client_uri="https://client.example",
        )
        reader.publisher.says(json.dumps(document))
        client = await reader.clients(reader.url)
        assert (client.id, client.name, client.origin) == (reader.url, "A program", "document")
        assert client.redirect_uris == ("https://client.example/cb",)
        assert client.grant_types == {"authorization_code", "refresh_token"}
        assert client.auth_methods == {"none"}
        assert reader.kept == [client]
        sent = reader.publisher.requests[0].decode()
        assert f"Host: client.example:{reader.publisher.port}\r\n" in sent
        assert "cookie" not in sent.lower()


@pytest.mark.parametrize("url", BAD_IDS)
async def test_E2_a_bad_address_is_never_fetched(url: str) -> None:
    async with reading(schemes=("https",)) as reader:
        refusal = await refused(reader, url)
        assert (refusal.code, refusal.status) == ("invalid_client", 400)
        assert (reader.asked, reader.publisher.requests) == ([], [])


@pytest.mark.parametrize("bad", BAD_DOCUMENTS, ids=lambda bad: f"{bad['row']} {bad['name']}")
async def test_E3_E9_E10_a_bad_document_is_refused_and_not_remembered(bad: dict[str, Any]) -> None:
    async with reading() as reader:
        words = {"$url": reader.url, "$URL": reader.url.replace("c.json", "C.json")}
        words["$escaped"] = reader.url.replace("c.json", "%63.json")
        change = {}
        for name, value in bad.get("change", {}).items():
            change[name] = (
                words.get(value, value.replace("$url", reader.url)) if isinstance(value, str) else value
            )
        reader.publisher.says(bad.get("text", json.dumps(a_document(reader.url, **change))))
        assert (await refused(reader)).status == 400
        assert reader.kept == []
        reader.publisher.says(json.dumps(a_document(reader.url)))
        assert (await reader.clients(reader.url)).name == "A program"


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
async def test_E4_no_redirect_is_followed(status: str) -> None:
    async with reading() as reader:
        body = json.dumps(a_document(reader.url))
        reader.publisher.says(body, status, f"Location: http://client.example:{reader.publisher.port}/other")
        await refused(reader)
        assert len(reader.publisher.requests) == 1


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial", "404 Not Found", "403 Forbidden", "500 Oops"]
)
async def test_E5_only_200_counts_and_errors_are_not_kept(status: str) -> None:
    async with reading() as reader:
        reader.publisher.says(json.dumps(a_document(reader.url)), status)
        await refused(reader)
        reader.publisher.says(json.dumps(a_document(reader.url)))
        assert await reader.clients(reader.url)


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/octet-stream"])
async def test_E9_json_that_is_called_something_else(kind: str) -> None:
    async with reading() as reader:
        reader.publisher.says(json.dumps(a_document(reader.url)), kind=kind)
        await refused(reader)


@pytest.mark.parametrize("address", INNER)
async def test_E6_no_connection_to_what_is_not_the_internet(address: str) -> None:
    assert not is_public(address)
    async with reading(allowed=is_public) as reader:
        reader.publisher.says(json.dumps(a_document(reader.url)))
        reader.addresses[0] = [address]
        await refused(reader)
        assert reader.publisher.requests == []


def test_E6_the_internet_is_allowed() -> None:
    assert all(map(is_public, ("8.8.8.8", "160.79.104.1", "2606:4700::1111", "2a00:1450::1")))


async def test_E7_the_connection_goes_to_the_address_that_was_checked() -> None:
    """The second answer of the name server would lead elsewhere; nobody asks for it."""
    async with reading() as reader:
        reader.publisher.says(json.dumps(a_document(reader.url)))
        reader.addresses[:] = [["10.0.0.1", "127.0.0.1"], ["10.0.0.1"]]
        assert await reader.clients(reader.url)
        assert reader.asked == ["client.example"]


async def test_E8_a_document_of_more_than_5_kib() -> None:
    async with reading() as reader:
        fits = json.dumps(a_document(reader.url)).ljust(5 * 1024)
        reader.publisher.says(fits + " ")
        await refused(reader)
        # Neither told, nor believed: a length of ten and an answer without an end.
        reader.publisher.answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b" " * 100_000
        )
        reader.publisher.hold = asyncio.Event()
        await refused(reader)
        reader.publisher.hold = None
        reader.publisher.says(fits)
        assert await reader.clients(reader.url)


async def test_E8_compressed_answers_are_refused() -> None:
    async with reading() as reader:
        reader.publisher.says(json.dumps(a_document(reader.url)), "200 OK", "Content-Encoding: gzip")
        await refused(reader)


@pytest.mark.parametrize(
    ("changes", "methods"),
    [
        ({"token_endpoint_auth_method": "none"}, {"none"}),
        (
            {
                "token_endpoint_auth_method": "private_key_jwt",
                "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
                "jwks_uri": "https://client.example/jwks.json",
            },
            {"none", "private_key_jwt"},
        ),
        (
            {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [{"kty": "RSA"}]}},
            {"private_key_jwt"},
        ),
        ({"token_endpoint_auth_methods_supported": ["client_secret_basic", "none"]}, {"none"}),
    ],
)
def test_E13_E14_how_a_client_may_authenticate(changes: dict[str, Any], methods: set[str]) -> None:
    url = "https://client.example/c.json"
    client = client_of(json.dumps(a_document(url, **changes)).encode(), url, now=0.0)
    assert client.auth_methods == methods


@pytest.mark.parametrize(
    ("cache_control", "fresh"),
    [
        ("max-age=60", 300),
        ("public, max-age=3600", 3600),
        ("max-age=99999999", 86_400),
        ("no-store", 300),
        ("no-cache, max-age=3600", 300),
        ("max-age=x", 300),
        ("", 300),
    ],
)
async def test_E16_a_document_is_kept_within_bounds(cache_control: str, fresh: int) -> None:
    async with reading() as reader:
        reader.publisher.says(json.dumps(a_document(reader.url)), "200 OK", f"Cache-Control: {cache_control}")
        await reader.clients(reader.url)
        reader.clock.advance(fresh - 1)
        await reader.clients(reader.url)
        assert len(reader.publisher.requests) == 1
        reader.clock.advance(1)
        await reader.clients(reader.url)
        assert len(reader.publisher.requests) == 2


async def test_E17_a_changed_document_is_another_fingerprint() -> None:
    async with reading() as reader:
        seen = set()
        for change in ({}, {"client_name": "B"}, {"redirect_uris": ["https://client.example/b"]}):
            reader.publisher.says(json.dumps(a_document(reader.url, **change)))
            seen.add((await reader.clients(reader.url)).fingerprint)
            reader.clock.advance(301)
        assert len(seen) == 3


@pytest.mark.parametrize(
    "hosts",
    [
        Hosts(denied=frozenset({"client.example"})),
        Hosts(denied=frozenset({"*.example"})),
        Hosts(allowed=frozenset({"claude.ai", "*.client.example"})),
        Hosts(allowed=frozenset({"client.example"}), denied=frozenset({"client.example"})),
    ],
)
async def test_E19_a_host_that_is_not_wanted_is_not_asked(hosts: Hosts) -> None:
    async with reading(hosts=hosts) as reader:
        assert (await refused(reader)).status == 403
        assert reader.asked == []
    assert Hosts(allowed=frozenset({"*.example"})).admit("client.example")


async def test_E20_a_copy_stands_in_for_a_host_that_keeps_us_out() -> None:
    copies: dict[str, bytes] = {}
    async with reading(copies=copies) as reader:
        url = reader.url
        copies[url] = json.dumps(a_document(url, client_name="Copy")).encode()
        reader.publisher.says("<html>no</html>", "403 Forbidden", kind="text/html")
        assert (await reader.clients(url)).name == "Copy"
        reader.clock.advance(301)
        reader.publisher.says(json.dumps(a_document(url)))
        assert (await reader.clients(url)).name == "A program"


def test_E20_every_copy_is_a_good_document() -> None:
    assert "https://claude.ai/oauth/mcp-oauth-client-metadata" in pinned()
    for url, body in pinned().items():
        assert address_of(url).host in ("claude.ai", "vscode.dev")
        assert client_of(body, url, now=0.0).auth_methods == {"none"}


async def test_E23_fifty_who_ask_at_once_are_one_fetch_and_a_host_has_a_limit() -> None:
    async with reading() as reader:
        reader.publisher.says(json.dumps(a_document(reader.url)))
        found = await asyncio.gather(*(reader.clients(reader.url) for _ in range(50)))
        assert len({client.id for client in found}) == 1
        assert len(reader.publisher.requests) == 1
        reader.publisher.says("", "500 Oops")
        for number in range(PER_HOST - 1):
            assert (await refused(reader, f"{reader.url}?{number}")).status == 400
        reader.clock.advance(20)
        limited = await refused(reader, f"{reader.url}?more")
        assert (limited.status, limited.retry_after) == (429, 40)
        assert len(reader.publisher.requests) == PER_HOST
        assert (await reader.clients(reader.url)).name == "A program"  # known ones go on
        reader.clock.advance(40)
        assert (await refused(reader, f"{reader.url}?more")).status == 400


async def test_E23_who_hangs_up_takes_nothing_from_the_others() -> None:
    async with reading() as reader:
        reader.publisher.says(json.dumps(a_document(reader.url)))
        first, second = (asyncio.ensure_future(reader.clients(reader.url)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).name == "A program"


async def test_keys_of_a_client_come_the_same_way() -> None:
    async with reading() as reader:
        url = reader.url
        document = a_document(url, token_endpoint_auth_method="private_key_jwt", jwks_uri=f"{url}/jwks")
        client = client_of(json.dumps(document).encode(), url, now=0.0)
        reader.publisher.says(json.dumps({"keys": [{"kty": "RSA", "d": "private"}]}))
        with pytest.raises(ClientKeysUnavailable):
            await reader.clients.keys(client)
        reader.publisher.says(json.dumps({"keys": [{"kty": "RSA"}]}), kind="application/jwk-set+json")
        for _ in range(2):
            assert await reader.clients.keys(client) == {"keys": [{"kty": "RSA"}]}
        assert len(reader.publisher.requests) == 2
