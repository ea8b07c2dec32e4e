"""What came back over HTTP, and who said it: Access, a rule of the zone, cloudflared, one of our doors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from app.doctor import dashboard

Who = Literal[
    "Access",
    "the tunnel door",
    "the LAN door",
    "cloudflared",
    "a rule of the zone",
    "the edge",
    "somebody else",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` in lower case, repeated ones joined; `body` is cut; `seconds` passed until its head came."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    certificate: Mapping[str, Any] | None = None

    @property
    def document(self) -> Any:
        """The JSON of the body; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def error(self) -> str:
        """`error` of a refusal in JSON."""
        document = self.document
        return str(document.get("error", "")) if isinstance(document, dict) else ""

    @property
    def is_page(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/html")

    @property
    def challenge(self) -> dict[str, str]:
        """The parameters of a Bearer challenge (RFC 9110 §11.6.1); empty where there is none."""
        scheme, _, rest = self.headers.get("www-authenticate", "").partition(" ")
        if scheme.lower() != "bearer":
            return {}
        pairs = (part.strip().partition("=") for part in _outside_quotes(rest))
        return {name.lower(): value.strip('"') for name, _, value in pairs if name}

    @property
    def login(self) -> tuple[str, str]:
        """(team domain, AUD tag) of a redirect to the login page of Access; empty texts where it is none."""
        url = _split(self.headers.get("location", ""))
        if not 300 <= self.status < 400 or "/cdn-cgi/access/login" not in url.path:
            return "", ""
        return url.netloc, parse_qs(url.query).get("kid", [""])[0]

    def in_short(self) -> str:
        """Like `HTTP 302 to acme.cloudflareaccess.com`."""
        said = f"HTTP {self.status}"
        if location := self.headers.get("location"):
            return f"{said} to {_split(location).netloc or location[:80]}"
        code = _edge_code(self)
        if self.error or code:
            return f"{said} {self.error or f'error code {code}'}"
        return f"{said} HTML page" if self.is_page else said


@dataclass(frozen=True, slots=True)
class Unreached:
    """No answer at all. `why` is what failed; `detail` is in the words of the library."""

    why: Literal["name", "connection", "certificate", "proxy", "time", "answer"]
    detail: str

    def in_short(self) -> str:
        return {
            "name": "the name is not known",
            "connection": "nothing accepts connections there",
            "certificate": "the certificate is not good",
            "proxy": "the proxy (HTTPS_PROXY) does not let us through",
            "time": "no answer in time",
            "answer": "the connection broke off",
        }[self.why] + f" ({self.detail})"


def who(answer: Answer) -> Who:
    """Who gave this answer. Ours carry a request id, Cloudflare's a ray; cloudflared's refusals are empty."""
    headers = answer.headers
    if "x-request-id" in headers:
        return "the LAN door" if answer.error in ("misrouted", "forbidden") else "the tunnel door"
    if answer.challenge and "cloudflare-access" in headers["www-authenticate"]:
        return "Access"
    if (
        answer.login[0]
        or "cf-access-error" in headers
        or headers.get("www-authenticate", "").startswith("Cloudflare-Access")
    ):
        return "Access"
    if "cf-ray" not in headers and headers.get("server") != "cloudflare":
        return "somebody else"
    if answer.status == 403 and not answer.body and "cf-mitigated" not in headers:
        return "cloudflared"  # its own check of the assertion answers without a word
    if answer.status == 404 and not answer.body:
        return "cloudflared"  # http_status:404, the last rule
    if "cf-mitigated" in headers or _edge_code(answer) in _RULES:
        return "a rule of the zone"
    if answer.status == 403:
        return "a rule of the zone"
    return "the edge"


_RULES = {
    "1005": "the zone blocks this network (ASN)",
    "1006": "the zone blocks this address",
    "1009": "the zone blocks this country",
    "1010": "Browser Integrity Check refuses this User-Agent",
    "1015": "a rate limiting rule of the zone",
    "1020": "a custom rule of the zone (WAF) refuses it",
}


def blocked_by(answer: Answer) -> str:
    """Which rule of the zone said no, as far as its answer tells."""
    if answer.headers.get("cf-mitigated") == "challenge":
        return "a bot rule (challenge)"
    return _RULES.get(_edge_code(answer), "a rule of the zone")


def unblock(host: str, *blocked: Answer) -> str:
    """Where to click, so that the rules of the zone that gave these answers leave `host` to Access."""
    by = " ".join(map(blocked_by, blocked))
    skip = f'{dashboard.CUSTOM_RULES}: Skip all remaining rules when Hostname equals "{host}"'
    if "bot" in by:
        return f"{skip}, with Super Bot Fight Mode; Bot Fight Mode knows no exception, off: {dashboard.BOTS}"
    if "Integrity" in by:
        return f"{skip}, with Browser Integrity Check; or off: {dashboard.BROWSER_CHECK}"
    return f"{skip}; Access is asked all the same"


def edge_error(answer: Answer) -> str:
    """The number of Cloudflare's own error: 1033, 522 …; empty where it is none."""
    code = _edge_code(answer)
    if code:
        return code
    return str(answer.status) if 520 <= answer.status <= 530 else ""


def _split(url: str) -> SplitResult:
    """The parts of a URL that a stranger wrote; all empty where it is none (`https://[::bad`)."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _edge_code(answer: Answer) -> str:
    """`error code: 1010` is the whole body for programs; pages for browsers have the same number in them."""
    text = answer.body[:4096].decode("latin-1").lower()
    for mark in ("error code: ", "error code ", 'cf-error-code">', "error 1"):
        _, found, rest = text.partition(mark)
        if found:
            digits = ("1" if mark == "error 1" else "") + "".join(_leading_digits(rest))
            if len(digits) in (3, 4):
                return digits
    return ""


def _leading_digits(text: str) -> str:
    return text[: len(text) - len(text.lstrip("0123456789"))]


def _outside_quotes(text: str) -> list[str]:
    """`text` at its commas, but not at those within quotes."""
    parts, quoted = [""], False
    for one in text:
        quoted ^= one == '"'
        if one == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += one
    return parts
