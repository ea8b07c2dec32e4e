"""Where an authorization response may go: what may be registered, and what a request may then name.

Compared are strings, never parsed addresses; the one exception is the port of a loopback address, which a
native client only knows once it listens (RFC 8252 §7.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote, urlencode, urlsplit

MAX_LENGTH = 2048
MAX_NUMBER = 20
# Without a dot, so not by RFC 8252 §7.1; but that is what these editors register.
EDITORS = frozenset(
    {
        "cursor",
        "vscode",
        "vscode-insiders",
        "vscodium",
        "code-oss",
        "windsurf",
        "windsurf-next",
        "zed",
        "trae",
    }
)

_CHARACTERS = re.compile(r"[\x21-\x7e]+")
_FORBIDDEN = re.compile(r'[#\\*"<>^`{|}]')  # RFC 6749 §3.1.2: no fragment; RFC 3986 §2 has none of the others
_DOT_SEGMENTS = re.compile(r"/(?:\.|%2e){1,2}(?:[/?]|$)", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(.+)")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]|localhost)(?::([0-9]{1,5}))?((?:[/?].*)?)")


def problem(uri: object) -> str | None:
    """Why `uri` cannot be registered, or None."""
    if not isinstance(uri, str) or not uri or len(uri) > MAX_LENGTH:
        return f"must be a text of 1 to {MAX_LENGTH} characters"
    if not _CHARACTERS.fullmatch(uri) or _FORBIDDEN.search(uri):
        return "has a fragment, a wildcard or characters that no address has"
    # What a browser would fold up is not what was compared (RFC 9700 §4.1.3).
    if _DOT_SEGMENTS.search(uri):
        return "has dot segments"
    match = _SCHEME.fullmatch(uri)
    if match is None:
        return "must be absolute, its scheme in lower case"
    if match[1] in ("http", "https"):
        return _web_problem(uri)
    # RFC 8252 §7.1: a private-use scheme is a reversed domain name.
    if match[1] not in EDITORS and "." not in match[1]:
        return "must be https, http on a loopback address, or a private-use scheme with a dot"
    if "@" in urlsplit(uri).netloc:
        return "must not name a user"
    return None


def _web_problem(uri: str) -> str | None:
    if is_loopback(uri):
        return None
    # RFC 9700 §2.1 and the MCP specification: https, or this very machine.
    if not uri.startswith("https://"):
        return "must be https, or http on 127.0.0.1, [::1] or localhost"
    host = _HOST.fullmatch(urlsplit(uri).netloc)
    if host is None or int(host[1] or 1) not in range(1, 65536):
        return "must have a host, and no user"
    return None


def matches(registered: str, asked: str) -> bool:
    """RFC 9700 §4.1.3: simple string comparison. RFC 8252 §7.3: any port on loopback."""
    if registered == asked:
        return True
    known, wanted = _LOOPBACK.fullmatch(registered), _LOOPBACK.fullmatch(asked)
    if known is None or wanted is None or int(wanted[2] or 1) not in range(65536):
        return False
    return (known[1], known[3]) == (wanted[1], wanted[3])


def chosen(registered: Sequence[str], asked: str | None) -> str | None:
    """The redirect URI of a request, or None. RFC 6749 §3.1.2.3: only one registered needs no naming."""
    if asked is None:
        return registered[0] if len(registered) == 1 else None
    return asked if any(matches(uri, asked) for uri in registered) else None


def is_loopback(uri: str) -> bool:
    """Whether it stays on the person's own machine."""
    match = _LOOPBACK.fullmatch(uri)
    return match is not None and int(match[2] or 1) in range(65536)


def is_claimed(uri: str) -> bool:
    """An https address: nobody but its owner receives what is sent there (RFC 8252 §7.2)."""
    return uri.startswith("https://")


def host_of(uri: str) -> str:
    """What a person is shown and consent is remembered by: the host, or a private-use scheme."""
    if is_loopback(uri):
        return urlsplit(uri).hostname or ""
    return urlsplit(uri).netloc if is_claimed(uri) else uri.partition(":")[0] + ":"


def source_of(uri: str) -> str:
    """As a source of `form-action`: browsers hold the redirect after a form against it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else f"{parts.scheme}:"


def with_parameters(uri: str, parameters: Sequence[tuple[str, str | None]]) -> str:
    """RFC 6749 §3.1.2: the query of `uri` stays as it is. Parameters without a value are left out."""
    added = urlencode([pair for pair in parameters if pair[1] is not None], quote_via=quote, safe="")
    separator = "?" if "?" not in uri else "" if uri.endswith(("?", "&")) else "&"
    return f"{uri}{separator}{added}"
