"""An upstream's refusal that says which URL has to be opened first: error -32042 of protocol 2025-11-25."""

from __future__ import annotations

import mcp_types as mt
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from pydantic import ValidationError

from app.upstreams.errors import UpstreamRefused


class UrlFirst(UpstreamRefused):
    """`error`: in which a client finds the URL."""

    def __init__(self, error: MCPError) -> None:
        super().__init__(error.error.message)
        self.error = error


def refusal(problem: MCPError) -> UpstreamRefused:
    """Of an upstream's own error, whatever it is."""
    words, urls = problem.error.message, _urls(problem.error)
    return UrlFirst(UrlElicitationRequiredError(urls, words)) if urls else UpstreamRefused(words)


def error_of(refused: Exception) -> MCPError | None:
    """As JSON-RPC has it. Every other refusal is told in words alone."""
    return refused.__cause__.error if isinstance(refused.__cause__, UrlFirst) else None


def _urls(error: mt.ErrorData) -> list[mt.ElicitRequestURLParams]:
    """None for every other error, or where nothing of it can be opened. Only pages of the web: a client may
    open what it is told to, and `file:` or the scheme of a program is nothing for a stranger to name."""
    if error.code != mt.URL_ELICITATION_REQUIRED:
        return []
    try:
        data = mt.ElicitationRequiredErrorData.model_validate(error.data, by_name=False)
    except ValidationError:
        return []
    pages = [one for one in data.elicitations if one.url.lower().startswith(("http://", "https://"))]
    return [one.model_copy(update={"meta": None}) for one in pages]
