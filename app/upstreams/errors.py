"""Why an upstream gave no answer: sentences for whoever called, and nothing of the upstream's own words."""

from __future__ import annotations

import logging
import secrets

import httpx2
import mcp_types as mt
from mcp.shared.exceptions import MCPError

from app.errors import AppError
from app.tables import one_line

log = logging.getLogger("brain.upstreams")

# Codes of NoAnswer beside those that the SDK has for it.
UNREACHABLE = -32097
UNUSABLE = -32096
STARTED_ANEW = -32095
OVERSIZE = -32094
FLOODS = "it floods us with messages"
NOT_REACHED = "it cannot be reached"
BROKE_OFF = "the connection broke off"
TOO_LARGE = "it sent a larger answer than its entry allows"
# A question in the middle of a call cannot be passed on: there is no saying whose call it belongs to.
NOT_ASKED = "Questions are passed on since protocol 2026-07-28."
NAME_ONE = "name one in its entry: bearer_env, bearer_file or headers"
# Headers of such an answer: the words, for whoever looks at the status alone.
WHY, WHOLE = "x-why", "x-whole"
# Stands in our own words where they come to us by the SDK, as an upstream's would; none of them ever sees it.
MARK = secrets.token_hex(16)


class NoAnswer(MCPError):
    """Our side of the line says so, because no answer came. Any other MCPError is the upstream's own word,
    whatever its code: what the SDK calls "connection closed" (-32000) and "timeout" (-32001), others use
    for refusals of every kind. `data`: what the operator can do about it, where there is something."""


class UpstreamDown(AppError):
    """`detail`, where it has one, says the same to the operator, with more."""

    code = "upstream_down"
    status = 503


class UpstreamBusy(AppError):
    code = "upstream_busy"
    status = 503


class UpstreamTimeout(AppError):
    code = "upstream_timeout"
    status = 504


class UpstreamBroken(AppError):
    code = "upstream_broken"
    status = 502


class UpstreamRefused(AppError):
    """The upstream's own error, in its own words without its credentials."""

    code = "upstream_refused"
    status = 200


def down(name: str, why: str) -> UpstreamDown:
    return UpstreamDown(
        f"The upstream `{name}` does not answer at the moment: {why or 'it was not reached yet'}. "
        "It is tried again by itself; everything else here works."
    )


def in_words(problem: MCPError, *, whole: bool = False) -> str:
    """`whole`: see `why_of`."""
    code = problem.error.code
    if not isinstance(problem, NoAnswer):
        words = f": {one_line(problem.error.message)}" if whole and problem.error.message else ""
        return f"it refuses to speak with us (error {code}){words}"
    if code == mt.CONNECTION_CLOSED:
        return "it closed the connection"
    if code == mt.REQUEST_TIMEOUT:
        return "it did not answer in time"
    if code == mt.PARSE_ERROR:
        return "it sends what is not MCP"
    advice = problem.error.data
    return f"{problem.error.message}; {advice}" if whole and advice else problem.error.message


def marked(problem: NoAnswer, advice: str) -> mt.ErrorData:
    """For the way through the SDK."""
    error = problem.error
    return mt.ErrorData(code=error.code, message=error.message, data={"mark": MARK, "advice": advice})


def unmarked(error: mt.ErrorData) -> NoAnswer | None:
    """None: an upstream says so."""
    data = error.data
    if not isinstance(data, dict) or data.get("mark") != MARK:
        return None
    return NoAnswer(code=error.code, message=error.message, data=data["advice"])


def refused(status: int, *, credential: bool) -> NoAnswer | None:
    """Where an HTTP status leaves no JSON-RPC to look for. `credential`: we sent one."""
    why, advice = f"it answers HTTP {status}", ""
    if status in (401, 403):
        why = f"it refuses our credential (HTTP {status})"
        if not credential:
            why, advice = f"it asks for a credential (HTTP {status})", NAME_ONE
    elif status < 500 and status != 429:
        return None
    return NoAnswer(code=UNREACHABLE, message=why, data=advice)


def oversize(name: str, most: int) -> UpstreamBroken:
    allowed = f"`max_result_kb` is {most // 1024}"
    return UpstreamBroken(
        f"The upstream `{name}` sent a larger answer than its entry allows ({allowed}). "
        "Ask it for less at once."
    )


def too_large() -> NoAnswer:
    return NoAnswer(code=OVERSIZE, message=TOO_LARGE)


def busy(name: str) -> UpstreamBusy:
    return UpstreamBusy(f"The upstream `{name}` has too many calls at once. Try again soon.")


def why_of(problem: BaseException, *, whole: bool = False) -> str:
    """In words for anybody; `whole`: with what only the operator may read, as in the log."""
    if isinstance(problem, AppError):
        return (whole and problem.detail) or problem.public
    if isinstance(problem, MCPError):
        return in_words(problem, whole=whole)
    if isinstance(problem, httpx2.HTTPStatusError):
        headers, plain = problem.response.headers, f"it answers HTTP {problem.response.status_code}"
        return headers.get(WHOLE if whole else WHY) or plain
    if isinstance(problem, TimeoutError):
        return "it did not start in time"
    if isinstance(problem, BaseExceptionGroup):
        return why_of(problem.exceptions[0], whole=whole)
    log.debug("an upstream broke", exc_info=problem)
    return BROKE_OFF
