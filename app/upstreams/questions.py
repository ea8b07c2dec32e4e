"""What an upstream can be asked: a request of the SDK's, or the call of a tool, which is asked for most."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

import mcp_types as mt
from mcp.shared.dispatcher import ProgressFnT
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import AfterValidator, BaseModel, TypeAdapter

from app.upstreams.link import Session

METHOD = "tools/call"
T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")
Question = Callable[[Session, float, ProgressFnT | None], Awaitable[R]]  # with the seconds that it may take


def request(what: mt.Request[Any, Any], result: type[T] | TypeAdapter[T]) -> Question[T]:
    async def ask(session: Session, seconds: float, progress: ProgressFnT | None) -> T:
        return await session.send_request(
            what, result, request_read_timeout_seconds=seconds, progress_callback=progress
        )

    return ask


def call(params: dict[str, Any]) -> Question[dict[str, Any]]:
    """`params` as they are on the wire. The result is, too: as the newest protocol has it, checked."""

    async def ask(session: Session, seconds: float, progress: ProgressFnT | None) -> dict[str, Any]:
        version = session.protocol_version
        if version not in MODERN_PROTOCOL_VERSIONS:  # the SDK knows what was not there yet
            sent = _Call(method=METHOD, params=params)
            answer: dict[str, Any] = await session.send_request(
                sent, _CALLED, request_read_timeout_seconds=seconds, progress_callback=progress
            )
            return answer
        raw = await session.send_raw(METHOD, params, seconds, progress)
        checked: dict[str, Any] = _CALLED.validate_python(raw, by_name=False)
        return checked

    return ask


def _checked(result: dict[str, Any]) -> dict[str, Any]:
    """The SDK takes for a question whatever it does not know; and not all that Python reads is JSON."""
    _encode(result.get("structuredContent")).encode()
    asks = result.get("resultType") == "input_required"
    known = (mt.InputRequiredResult if asks else mt.CallToolResult).model_validate(result, by_name=False)
    return known.model_dump(mode="json", by_alias=True, exclude_none=True)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode
_CALLED: TypeAdapter[Any] = TypeAdapter(Annotated[dict[str, Any], AfterValidator(_checked)])
_Call = mt.Request[dict[str, Any], Literal["tools/call"]]
