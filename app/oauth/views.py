"""What the pages of the authorization server show, and who draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ToolView:
    """A tool that a scope opens (app.oauth.opened)."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class ScopeView:
    """A line to tick. `new`: this person never gave it to this client before."""

    name: str
    description: str
    new: bool
    tools: tuple[ToolView, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsentView:
    """All of it may come from a stranger, so all of it is escaped.

    `client_host`: of the metadata document that names the client; None for a client that registered
    itself, whose name nobody has checked. `redirect_host`: where the answer goes; with `loopback` a
    program on the person's own machine, any program. `withheld`: asked for, and above what the person has.
    The form is sent to `action` by POST with `request` = `request_id`, one `scope` for each ticked line,
    and `decision` = `allow` or `deny`.
    """

    client_name: str
    client_id: str
    client_host: str | None
    client_uri: str | None
    redirect_uri: str
    redirect_host: str
    loopback: bool
    person: str
    scopes: tuple[ScopeView, ...]
    withheld: tuple[str, ...]
    known: bool  # the person approved this client before
    resource: str
    action: str
    request_id: str
    expires_at: float
    trace: str  # the id of the HTTP request
    by_operator: bool = False  # the operator of this server added the client, so its name is right


@dataclass(frozen=True, slots=True)
class ErrorView:
    """`code` is OAuth's. Nothing on the page links to anywhere that the request named."""

    status: int
    code: str
    sentence: str
    retry_after: int | None
    trace: str


class Pages(Protocol):
    """Draws whole HTML documents. Nothing in a view is safe to show unescaped."""

    def consent(self, view: ConsentView) -> bytes: ...

    def error(self, view: ErrorView) -> bytes: ...

    def headers(self, form_action: Sequence[str], *, forms: bool) -> dict[str, str]:
        """Content-Security-Policy and its like (app.pages.security_headers)."""
        ...
