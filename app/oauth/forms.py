"""Forms and queries, read strictly: RFC 6749 §3.1 and §3.2 forbid to choose between two values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from app.strict import json_object

MAX_BYTES = 64 * 1024
MAX_FIELDS = 100
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class BadForm(ValueError):
    """Cannot be read; the text may be shown."""


@dataclass(frozen=True, slots=True)
class Form:
    """Parameters in their order. One without a value counts as left out (RFC 6749 §3.1)."""

    pairs: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The one value. Where there are several, the first: `repeated` is asked before."""
        return next((value for key, value in self.pairs if key == name and value), None)

    def listed(self, name: str) -> tuple[str, ...]:
        """All values, empty ones too."""
        return tuple(value for key, value in self.pairs if key == name)

    def repeated(self, allowed: Collection[str] = ()) -> tuple[str, ...]:
        """Names that occur more than once, but for `allowed`."""
        names = [name for name, _ in self.pairs]
        return tuple(sorted({name for name in names if name not in allowed and names.count(name) > 1}))


def read_form(raw: bytes) -> Form:
    """From a query or a body. Raises BadForm: not UTF-8, or far too many parameters."""
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise BadForm("The parameters cannot be read: they must be UTF-8, percent-encoded.") from None
    return Form(tuple(pairs))


def check_type(content_type: bytes, wanted: str) -> None:
    """Raises BadForm. RFC 6749 Appendix B: UTF-8, whatever is said of it."""
    media, *parameters = (part.strip().lower() for part in content_type.decode("latin-1").split(";"))
    if media != wanted:
        raise BadForm(f"The body must be {wanted}.")
    charsets = [one.partition("=")[2].strip('" ') for one in parameters if one.startswith("charset")]
    if any(charset not in ("utf-8", "utf8", "us-ascii") for charset in charsets):
        raise BadForm("The body must be UTF-8.")


def read_json(raw: bytes) -> dict[str, Any]:
    """One JSON object. Raises BadForm."""
    try:
        return json_object(raw)
    except ValueError as error:
        raise BadForm("The body is not a JSON object.") from error
