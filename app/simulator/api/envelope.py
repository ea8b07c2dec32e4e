"""The forms of every answer of Cloudflare's API: success, failure, a page of a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import JSONResponse

from app.simulator.api.collection import Wire

PER_PAGE = 20


class Refused(Exception):
    """Becomes `{success: false, errors: […]}`. Codes as Cloudflare's, where they are known."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def response(self) -> JSONResponse:
        return failed(self.status, self.code, self.message)


def failed(status: int, code: int, message: str, retry_after: str = "") -> JSONResponse:
    body = {
        "success": False,
        "errors": [{"code": code, "message": message}],
        "messages": [],
        "result": None,
    }
    return JSONResponse(body, status, headers={"retry-after": retry_after} if retry_after else None)


def succeeded(
    result: Any, messages: list[Wire] | None = None, info: Wire | None = None, status: int = 200
) -> JSONResponse:
    body = {"success": True, "errors": [], "messages": messages or [], "result": result}
    return JSONResponse({**body, "result_info": info} if info else body, status)


def page(found: list[Wire], query: Mapping[str, str], most: int = 1000) -> JSONResponse:
    """The asked page of what was found, and how much there is."""
    number = max(1, int(query.get("page", "1")))
    size = min(most, max(1, int(query.get("per_page", PER_PAGE))))
    shown = found[(number - 1) * size : number * size]
    info = {
        "page": number,
        "per_page": size,
        "count": len(shown),
        "total_count": len(found),
        "total_pages": -(-len(found) // size),
    }
    return succeeded(shown, info=info)


def filtered(
    found: list[Wire], query: Mapping[str, str], *exact: str, **special: Callable[[Wire, str], bool]
) -> list[Wire]:
    """Those that fit every filter of the query. `exact` fields are compared as they are."""
    for name in exact:
        if name in query:
            found = [value for value in found if str(value.get(name)) == query[name]]
    for name, fits in special.items():
        if name in query:
            found = [value for value in found if fits(value, query[name])]
    return found


def required(body: Any, *names: str) -> Wire:
    """Raises Refused unless the body is an object with these names."""
    if not isinstance(body, dict):
        raise Refused(400, 6007, "Malformed JSON in request body")
    missing = [name for name in names if body.get(name) in (None, "")]
    if missing:
        raise Refused(400, 1002, f"{missing[0]} is required")
    return body
