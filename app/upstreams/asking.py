"""What an upstream may do to the request that is served now: tell how far it is, and ask in between.

A request is known by its context: the SDK's, or FastMCP's of the same names.
"""

from __future__ import annotations

from typing import Any

from mcp.shared.dispatcher import ProgressFnT
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from app.progress import telling


def progress(context: Any) -> ProgressFnT | None:
    """Tells the client, if it wants to be told. Called later, from another context."""
    meta = None if context is None else context.meta
    token = None if meta is None else meta.get("progress_token", meta.get("progressToken"))
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


def not_older(context: Any, error: type[Exception]) -> None:
    """Raises `error` where the client's protocol has no question for an answer."""
    version = None if context is None else getattr(context, "protocol_version", None)
    if version is not None and version not in MODERN_PROTOCOL_VERSIONS:
        raise error("This needs an answer in between, and the protocol of your client has none.")
