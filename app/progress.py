"""How a call tells its client something before its end, where there is a way. Set by the door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

Tell = Callable[[Mapping[str, Any]], Awaitable[None]]  # a JSON-RPC notification

telling: ContextVar[Tell | None] = ContextVar("telling", default=None)
