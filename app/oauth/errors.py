"""Where an error of the authorization server may be shown: on a page, at the client, or as JSON.

Whether the browser may be sent to the client is part of the type, never a flag that somebody remembers.
"""

from __future__ import annotations

from typing import Literal

from app.errors import AppError

# RFC 6749 §5.2, RFC 8707 §2
TokenCode = Literal[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
]
RegistrationCode = Literal["invalid_redirect_uri", "invalid_client_metadata"]  # RFC 7591 §3.2.2
# RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6, RFC 8707 §2
RedirectCode = Literal[
    "invalid_request",
    "unauthorized_client",
    "access_denied",
    "unsupported_response_type",
    "invalid_scope",
    "invalid_target",
    "request_not_supported",
    "request_uri_not_supported",
    "consent_required",
]
PageCode = Literal[RedirectCode, "invalid_client", "question_over"]  # the last is our own


class PageError(AppError):
    """For the person alone: nothing of the request is trusted enough to redirect (RFC 6749 §4.1.2.1)."""

    def __init__(self, code: PageCode, public: str, *, status: int = 400, detail: str = "") -> None:
        super().__init__(public, detail=detail)
        self.code, self.status = code, status


class RedirectError(AppError):
    """For the client, at its registered redirect URI; made only once that is known to be right."""

    status = 303

    def __init__(self, code: RedirectCode, public: str, *, redirect_uri: str, state: str | None) -> None:
        super().__init__(public)
        self.code: RedirectCode = code
        self.redirect_uri, self.state = redirect_uri, state


class TokenError(AppError):
    """JSON of /token, /revoke, /introspect (RFC 6749 §5.2). 401 carries the challenge `challenge`."""

    def __init__(
        self,
        code: TokenCode,
        public: str,
        *,
        status: int = 400,
        challenge: str | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(public, detail=detail)
        self.code, self.status, self.challenge = code, status, challenge


class RegistrationError(AppError):
    """JSON of /register (RFC 7591 §3.2.2)."""

    def __init__(self, code: RegistrationCode, public: str) -> None:
        super().__init__(public)
        self.code = code
