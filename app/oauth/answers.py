"""The successful answer of the token endpoint (RFC 6749 §5.1)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.oauth.minting import Minted


def token_answer(
    minted: Minted, scopes: Collection[str], now: float, *, refresh_token: str | None = None
) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "access_token": minted.token,
        "token_type": "Bearer",
        "expires_in": max(0, int(minted.expires_at) - int(now)),
        "scope": " ".join(scopes),
    }
    return answer | {"refresh_token": refresh_token} if refresh_token else answer
