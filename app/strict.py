"""JSON and base64url as signed things are written: two readers that disagree about them are one attack."""

from __future__ import annotations

import binascii
import json
import math
from typing import Any, NoReturn, cast

_URLSAFE = bytes.maketrans(b"-_+/=", b"+/!!!")  # what is not of this alphabet is of none


def base64url(segment: bytes) -> bytes:
    """RFC 7515 §2: without padding. Raises ValueError."""
    padded = segment.translate(_URLSAFE) + b"=" * (-len(segment) % 4)
    return binascii.a2b_base64(padded, strict_mode=True)


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object with unique names and finite numbers (RFC 7519 §4). Raises ValueError."""
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return cast(dict[str, Any], value)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate name")
    return result


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_float=_finite, parse_constant=_no_constant
)
