"""What an upstream may do to the request that is served now: tell how far it is, and ask in between."""

from __future__ import annotations

from typing import Any, Protocol

from mcp.shared.dispatcher import ProgressFnT
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from app.progress import telling


class Asking(Protocol):
    """A request: the SDK's context, FastMCP's of the same names, or our own."""

    @property
    def meta(self) -> Any: ...

    @property
    def session(self) -> Any: ...

    @property
    def request_id(self) -> Any: ...

    @property
    def protocol_version(self) -> Any: ...


def progress(context: Asking | None) -> ProgressFnT | None:
    """Tells the client, if it wants to be told. Called later, from another context."""
    if context is None or context.meta is None:
        return None
    token = context.meta.get("progress_token", context.meta.get("progressToken"))
    if token is None:
        return None
    session, request_id, tell = context.session, str(context.request_id), telling.get()

    async def report(progress: float, total: float | None, message: str | None) -> None:
        if tell is not None:
            said = {"progressToken": token, "progress": progress, "total": total, "message": message}
            params = {name: value for name, value in said.items() if value is not None}
            await tell({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
            return
        await session.send_progress_notification(
            progress_token=token,
            progress=progress,
            total=total,
            message=message,
            related_request_id=request_id,
        )

    return report


def not_older(context: Asking | None, error: type[Exception]) -> None:
    """Raises `error` where the client's protocol has no question for an answer."""
    version = None if context is None else getattr(context, "protocol_version", None)
    if version is not None and version not in MODERN_PROTOCOL_VERSIONS:
        raise error("This needs an answer in between, and the protocol of your client has none.")
