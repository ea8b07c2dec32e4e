"""The pages people see: templates, one stylesheet, and the headers that keep them shut.

Nothing is loaded, from anywhere: the stylesheet travels inside the page and the policy names its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "style.css").read_text(encoding="utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# What is not seen and changes how the rest is read: controls, zero widths, directions, half pairs.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def render(template: str, **values: Any) -> str:
    """The HTML of a template. Every value is escaped; a value the template misses is an error."""
    return _environment().get_template(template).render(values)


def page(
    template: str,
    *,
    status: int = 200,
    form_action: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A rendered page with its security headers.

    `form_action`: origins besides our own where a form of this page may end up, redirects included
    (browsers check those too).
    """
    return HTMLResponse(
        render(template, **values), status, headers={**security_headers(form_action), **(headers or {})}
    )


def security_headers(form_action: Sequence[str] = (), *, forms: bool = True) -> dict[str, str]:
    """`forms` False: the page has none, so none may be sent and no address leaves it."""
    return {
        "content-security-policy": "; ".join(
            (
                "default-src 'none'",
                f"style-src 'sha256-{STYLE_HASH}'",
                " ".join(("form-action 'self'", *form_action)) if forms else "form-action 'none'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            )
        ),
        # With forms not no-referrer: browsers would send `Origin: null`, and the check would refuse.
        "referrer-policy": "same-origin" if forms else "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }


def visible(value: object) -> object:
    """A text with what cannot be seen written out, like [U+202E]; anything else as it is."""
    return _UNSEEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", value) if type(value) is str else value


@cache
def _environment() -> Environment:
    """Jinja is loaded by the first page that is looked at: most servers' only visitors are programs."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    environment.globals["style"] = Markup(STYLE)  # noqa: S704  # our own file, never input
    return environment
