"""JSON-RPC messages as they go to an upstream, and numbers as they come from one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import mcp_types as mt
from mcp.shared.exceptions import MCPError

NOT_JSON = "an argument is not JSON: send no NaN, no infinite number and no half of a character"


def encoded(message: Mapping[str, Any]) -> bytes:
    """Raises MCPError for what Python reads and JSON does not have: half a character, no number."""
    try:
        return _encode(message).encode()
    except ValueError:
        raise MCPError(code=mt.INVALID_PARAMS, message=NOT_JSON) from None


def is_number(value: Any) -> TypeGuard[float]:
    """One that JSON has."""
    return isinstance(value, int | float) and math.isfinite(value)


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str).encode
