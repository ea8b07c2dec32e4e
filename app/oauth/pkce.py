"""Proof Key for Code Exchange (RFC 7636), S256 alone."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest

METHOD = "S256"

CHALLENGE = r"[A-Za-z0-9_-]{43}"  # RFC 7636 §4.2: 32 octets in base64url
VERIFIER = r"[A-Za-z0-9._~-]{43,128}"  # RFC 7636 §4.1


def is_challenge(text: str) -> bool:
    return re.fullmatch(CHALLENGE, text) is not None


def is_verifier(text: str) -> bool:
    return re.fullmatch(VERIFIER, text) is not None


def challenge_of(verifier: str) -> str:
    """RFC 7636 §4.2. `verifier` is one by `is_verifier`."""
    return urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()


def proves(verifier: str, challenge: str) -> bool:
    """RFC 7636 §4.6."""
    return compare_digest(challenge_of(verifier), challenge)
