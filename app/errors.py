"""What can go wrong, in three parts: a code for programs, a sentence for people, a detail for the log.

The public sentence says what happened and what to do. The detail never leaves the process.
"""

from __future__ import annotations


class AppError(Exception):
    """Base of every refusal. `code` is stable, `public` may be shown to anyone, `detail` only to the log.

    `challenge` is the value of `WWW-Authenticate`, where the refusal has one.
    """

    code = "error"
    status = 400
    challenge: str | None = None

    def __init__(self, public: str, *, detail: str = "", retry_after: int | None = None) -> None:
        super().__init__(public)
        self.public = public
        self.detail = detail
        self.retry_after = retry_after

    def body(self) -> dict[str, str]:
        """The JSON body of a refusal over HTTP (INTERFACE "HTTP")."""
        return {"error": self.code, "error_description": self.public}
