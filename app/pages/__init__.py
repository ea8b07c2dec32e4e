"""The pages people see: templates, one stylesheet, and the headers that keep them shut.

Nothing is loaded, from anywhere: the stylesheet travels inside the page and the policy names its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "style.css").read_text(encoding="utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_environment = Environment(
    loader=FileSystemLoader(FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["style"] = Markup(STYLE)  # noqa: S704  # our own file, never input


def render(template: str, **values: Any) -> str:
    """The HTML of a template. Every value is escaped; a value the template misses is an error."""
    return _environment.get_template(template).render(values)


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


def security_headers(form_action: Sequence[str] = ()) -> dict[str, str]:
    return {
        "content-security-policy": "; ".join(
            (
                "default-src 'none'",
                f"style-src 'sha256-{STYLE_HASH}'",
                " ".join(("form-action 'self'", *form_action)),
                "base-uri 'none'",
                "frame-ancestors 'none'",
            )
        ),
        # Not no-referrer: browsers would send `Origin: null` with our own forms, and the check would refuse.
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
