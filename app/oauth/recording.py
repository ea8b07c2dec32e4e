"""Events of the authorization server, with the request that they are of."""

from __future__ import annotations

from dataclasses import replace

from app.audit.events import Event, Report
from app.doors.rates import LimitedAgain
from app.errors import AppError
from app.oauth import events
from app.oauth.authority import Authority
from app.oauth.wire import Asked


def for_request(authority: Authority, asked: Asked) -> Authority:
    """The authority whose events name this request."""

    def report(event: Event) -> None:
        authority.report(replace(event, request_id=asked.trace, cf_ray=asked.cf_ray))

    return replace(authority, report=report)


def refused(
    report: Report, count: Report, operation: str, client_id: str, error: AppError, who: str = ""
) -> None:
    """On record; a flood of the same is only counted."""
    tell = count if isinstance(error, LimitedAgain) else report
    tell(events.refused(operation, client_id, error.code, error.detail, error.status, who))
