"""Takes the credentials of an upstream out of whatever it says. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

REDACTED = "[redacted]"
SHORTEST = 6  # a shorter value would be found in every second word


class Redactor:
    """`clean` leaves everything but the secrets as it was; texts, lists and tables, to any depth."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= SHORTEST:
                forms |= _forms(secret)
        # The longest first: one form may hold another.
        self._forms = tuple(sorted(forms, key=len, reverse=True))

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        return text

    def clean(self, value: Any) -> Any:
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.clean(key): self.clean(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.clean(one) for one in value]
        return value


def _forms(secret: str) -> set[str]:
    """As it is, and as it is written in JSON, in a URL, in Base64 (which differs by what stands before)."""
    data = secret.encode()
    encoded = set()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        begins, odd = (0, 2, 3)[before], (before + len(data)) % 3
        inner = whole[begins : len(whole) - (1 if odd else 0)]
        encoded |= {inner, inner.replace("+", "-").replace("/", "_")}
    written = {json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False)}
    return {secret, data.hex(), quote(secret, safe=""), *written} | {
        form for form in encoded if len(form) >= SHORTEST
    }
