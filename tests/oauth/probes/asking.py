"""F: the authorization endpoint, asked by a client that the person has allowed before where that matters."""

from __future__ import annotations

import re
from typing import Any

from .registry import probe
from .talk import CALLBACK, READ, STATE, Talk, for_us, sent_back, stays, told

LOOPBACK = "http://127.0.0.1/cb"


async def all_told(t: Talk, error: str, parameter: str, *values: Any) -> bool:
    client = await t.known()
    answers = [await t.ask(client, **{parameter: one}) for one in values]
    return all(told(one, error) for one in answers)


@probe
async def F1(t: Talk) -> bool:
    found = sent_back(await t.allow(await t.register()))
    return found.keys() == {"code", "state", "iss"} and found["iss"] == t.issuer and found["state"] == STATE


@probe
async def F2(t: Talk) -> bool:
    unknown = {"client_id": "nobody", "redirect_uris": [CALLBACK]}
    return all(stays(one) for one in (await t.ask(unknown), await t.ask(unknown, client_id=None)))


@probe
async def F3(t: Talk) -> bool:
    return stays(await t.ask(await t.register(), redirect_uri="https://evil.example/callback"))


@probe
async def F4(t: Talk) -> bool:
    client = await t.known()
    odd = (
        "https://client.example/callback/more",
        "https://client.example/x/../callback",
        "https://client.example/callback?a=1",
        "https://client.example/callback/",
        "https://client.example/%2e/callback",
        "https://CLIENT.example/callback",
        "https://client.example:443/callback",
        "http://client.example/callback",
        "https://u@client.example/callback",
        "https://evil.example\\@client.example/callback",
        "https://client.example//callback",
        "https://client.example./callback",
        "https://cli\u0435nt.example/callback",
    )
    return all([stays(await t.ask(client, redirect_uri=one)) for one in odd])


@probe
async def F5(t: Talk) -> bool:
    for registered in (LOOPBACK, "http://127.0.0.1:8000/cb", "http://[::1]/cb"):
        client = await t.register(redirect_uris=[registered])
        asked = registered.replace(":8000", "").replace("/cb", ":51234/cb")
        if "code" not in sent_back(await t.allow(client, redirect_uri=asked)):
            return False
    return True


@probe
async def F6(t: Talk) -> bool:
    client = await t.register(redirect_uris=[LOOPBACK])
    odd = ("http://127.0.0.1/other", "http://127.0.0.1/cb?a=1", "https://127.0.0.1/cb", "http://localhost/cb")
    return all([stays(await t.ask(client, redirect_uri=one)) for one in odd])


@probe
async def F7(t: Talk) -> bool:
    one = await t.register()
    two = await t.register(redirect_uris=[CALLBACK, CALLBACK + "/2"])
    found = await t.allow(one, redirect_uri=None)
    right = found.headers.get("location", "").startswith(CALLBACK + "?")
    return right and stays(await t.ask(two, redirect_uri=None))


@probe
async def F8(t: Talk) -> bool:
    answer = await t.allow(await t.register(redirect_uris=[CALLBACK + "?x=1&flag"]))
    return answer.headers.get("location", "").startswith(CALLBACK + "?x=1&flag&")


@probe
async def F9(t: Talk) -> bool:
    return await all_told(t, "invalid_request", "response_type", None)


@probe
async def F10(t: Talk) -> bool:
    wrong = ("token", "id_token", "code token", "CODE")
    return await all_told(t, "unsupported_response_type", "response_type", *wrong)


@probe
async def F11(t: Talk) -> bool:
    return await all_told(t, "invalid_request", "code_challenge", None)


@probe
async def F12(t: Talk) -> bool:
    return await all_told(t, "invalid_request", "code_challenge_method", "plain")


@probe
async def F13(t: Talk) -> bool:
    return await all_told(t, "invalid_request", "code_challenge_method", None)


@probe
async def F14(t: Talk) -> bool:
    return await all_told(t, "invalid_request", "code_challenge_method", "S512", "s256")


@probe
async def F15(t: Talk) -> bool:
    wrong = ("a" * 10, "a" * 200, "a" * 42 + "=", "a" * 42 + "+", "a" * 42 + "/")
    return await all_told(t, "invalid_request", "code_challenge", *wrong)


@probe
async def F16(t: Talk) -> bool:
    client = await t.known()
    ids, uris = [client["client_id"]] * 2, [CALLBACK] * 2
    page = all([stays(await t.ask(client, client_id=ids)), stays(await t.ask(client, redirect_uri=uris))])
    return page and told(await t.ask(client, scope=[READ, READ]), "invalid_request")


@probe
async def F17(t: Talk) -> bool:
    client = await t.register()
    return "code" in sent_back(await t.allow(client, nonce="n", foo="1", prompt="consent"))


@probe
async def F18(t: Talk) -> bool:
    found = sent_back(await t.allow(await t.register(), scope="", state=""))
    return "code" in found and found.get("state", "") == ""


@probe
async def F19(t: Talk) -> bool:
    state = '&=%\r\n<>"\u00e9' + "s" * 4000
    return sent_back(await t.allow(await t.register(), state=state)).get("state") == state


@probe
async def F20(t: Talk) -> bool:
    return await all_told(t, "invalid_scope", "scope", 'a"b', f"{READ}\tx")


@probe
async def F21(t: Talk) -> bool:
    client = await t.known()
    mixed = await t.allow(client, scope=f"{READ} unheard:of")
    habit = await t.allow(client, scope="openid profile email offline_access")
    unknown = await t.ask(client, scope="unheard:of")
    return "code" in sent_back(mixed) and "code" in sent_back(habit) and told(unknown, "invalid_scope")


@probe
async def F22(t: Talk) -> bool:
    two = [t.resource, "https://other.example/mcp"]
    wrong = ("https://other.example/mcp", "/mcp", t.resource + "#f", "", two)
    return await all_told(t, "invalid_target", "resource", *wrong[:3], two)


@probe
async def F23(t: Talk) -> bool:
    client = await t.register()
    code = await t.code(client, resource=None)
    answer = await t.exchange(client, code, resource=None)
    return answer.status_code == 200 and await t.alive(answer.json()["access_token"])


@probe
async def F24(t: Talk) -> bool:
    client = await t.register()
    for resource in (t.resource.replace("https", "HTTPS"), t.resource + "/", t.issuer):
        token = (await t.tokens(client, resource=resource))["access_token"]
        if not (for_us(t, token) and await t.alive(token)):
            return False
    return True


@probe
async def F26(t: Talk) -> bool:
    found = sent_back(await t.ask(await t.known(), response_type="token"))
    return found.get("iss") == t.issuer and found.get("state") == STATE


@probe
async def F27(t: Talk) -> bool:
    client = await t.known()
    for mode in ("fragment", "form_post"):
        answer = await t.allow(client, response_mode=mode)
        found = sent_back(answer)
        if "#" in answer.headers.get("location", "#") or not {"code", "error"} & found.keys():
            return False
    return True


@probe
async def F28(t: Talk) -> bool:
    client = await t.known()
    by_value, by_name = await t.ask(client, request="a.b.c"), await t.ask(client, request_uri="https://a.b/")
    value = told(by_value, "request_not_supported", "invalid_request")
    return value and told(by_name, "request_uri_not_supported", "invalid_request")


@probe
async def F29(t: Talk) -> bool:
    answer = await t.http.post(
        "/authorize", data={"client_id": "nobody"}, headers=t.signed_in("alice@example.com")
    )
    return answer.status_code in (400, 405)


@probe
async def F30(t: Talk) -> bool:
    return (await t.allow(await t.register())).status_code in (302, 303)


@probe
async def F31(t: Talk) -> bool:
    client = await t.register(redirect_uris=[LOOPBACK])
    answer = await t.ask(client, prompt="none")
    return told(answer, "login_required", "consent_required", "interaction_required") or stays(answer)


@probe
async def F32(t: Talk) -> bool:
    client = await t.register()
    one, other = await t.code(client), await t.code(client)
    return one != other and len(one) >= 22


@probe
async def F33(t: Talk) -> bool:
    evil = "https://evil.example/"
    client = {"client_id": "nobody", "redirect_uris": [evil]}
    asked = [await t.ask(client, response_type=one) for one in ("code", "token")]
    named = ("next", "return_to", "redirect", "url", "redirect_uri")
    for path in ("/", "/authorize", "/consent", "/logout", "/login"):
        asked += [await t.get(path, params={one: evil}) for one in named]
    return not any("evil.example" in one.headers.get("location", "") for one in asked)


@probe
async def F34(t: Talk) -> bool:
    return stays(await t.ask(await t.register(), response_type="token"))


@probe
async def F35(t: Talk) -> bool:
    """With no-referrer a form would send `Origin: null`; same-origin tells other sites as little."""
    client = await t.register()
    for answer in (await t.ask(client), await t.allow(client)):
        told_others = answer.headers.get("referrer-policy") not in ("no-referrer", "same-origin")
        if told_others or "no-store" not in answer.headers.get("cache-control", ""):
            return False
    return True


@probe
async def F36(t: Talk) -> bool:
    client = await t.register()
    first = await t.ask(client)
    return first.status_code in (200, 302, 303) and "code" in sent_back(await t.allow(client))


@probe
async def F37(t: Talk) -> bool:
    answer = await t.ask(await t.register(), foo="a" * 8000)
    return answer.status_code in (200, 302, 303, 414)


@probe
async def F38(t: Talk) -> bool:
    said = sent_back(await t.ask(await t.known(), scope='\u00e9"\\'))
    return re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", said["error_description"]) is not None
