"""How cloudflared asks the service, as far as it does harm; the same keys at the top and on a rule."""

from __future__ import annotations

from collections.abc import Mapping

from app.tunnel import keys
from app.tunnel.finding import Finding, Found, unknown

# Key → the code of its finding, and why.
HARMFUL = {
    "disableChunkedEncoding": (
        "chunking-off",
        "It ends streaming: answers are held back until they are whole.",
    ),
    "noTLSVerify": ("no-tls-verify", "Whoever answers at the service's address is believed to be it."),
    "http2Origin": ("http2-origin", "The tunnel door speaks HTTP/1.1."),
    "httpHostHeader": ("host-header", "The tunnel door answers to its public name alone: 421 for any other."),
    "bastionMode": ("bastion", "It opens every address that this machine reaches."),
    "proxyType": ("proxy", "It makes a proxy of this machine."),
    "ipRules": ("proxy", "It is for a proxy, and here is none."),
}


def origin_request(request: object, where: str, hostname: str, *, remote: bool) -> Found:
    """`remote`: as the API keeps it, where durations are whole seconds."""
    if request is None:
        return
    if not isinstance(request, Mapping):
        yield Finding("wrong-type", where, "`originRequest` has keys.", "Write `key: value` below it.")
        return
    yield from unknown(request, keys.ORIGIN_REQUEST, where)
    for key in sorted(keys.DURATIONS & request.keys()):
        if isinstance(request[key], int) != remote:
            sentence = "In a file a bare number is nanoseconds."
            if remote:
                sentence = "The API takes durations as whole seconds."
            yield Finding(
                "duration-unit", f"{where}.{key}", sentence, f"Write `{key}: {10 if remote else '10s'}`."
            )
    for key, (code, sentence) in HARMFUL.items():
        if request.get(key) and not (key == "httpHostHeader" and request[key] == hostname):
            yield Finding(code, f"{where}.{key}", sentence, f"Remove `{key}`.")
