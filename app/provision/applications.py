"""The Access applications of a hostname, every field said explicitly.

Fields and their limits: Cloudflare One "Application paths", "Account limits", "Managed OAuth"; the API's
access/apps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.provision.marks import marked
from app.tunnel.config import PROGRAMS, Topology

SESSION = "24h"
MOST_CHARACTERS = 63
MOST_DOMAINS = 5
WELL_KNOWN = "/.well-known/"

# Where the known clients of MCP want to be sent back to. An entry may end in /*; loopback has its own flags.
REDIRECTS = (
    "https://claude.ai/api/mcp/auth_callback",
    "https://claude.com/api/mcp/auth_callback",
    "https://chatgpt.com/connector/oauth/*",
    "https://chatgpt.com/connector_platform_oauth_redirect",
    "https://vscode.dev/redirect",
    "https://insiders.vscode.dev/redirect",
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "cursor://anysphere.cursor-mcp/oauth/callback",
)


@dataclass(frozen=True, slots=True)
class Application:
    """`policies` are named; `signs_in`: its AUD tag is one that the server must know."""

    name: str
    fields: Mapping[str, Any]
    policies: tuple[str, ...]
    signs_in: bool


def applications(
    hostname: str, topology: Topology, people: tuple[str, ...], open_to: str
) -> tuple[Application, ...]:
    """In topology `access` one for the whole host. In `oauth` the same for what people see, and others that
    open the paths of programs; what is not named there stays closed. `open_to`: the Bypass policy."""
    whole = Application(marked("Brain", hostname), _whole(hostname, topology), people, signs_in=True)
    if topology == "access":
        return (whole,)
    places = open_places(hostname)
    parts = [places[start : start + MOST_DOMAINS] for start in range(0, len(places), MOST_DOMAINS)]
    opened = [
        Application(
            marked(f"Brain, open paths {number}", hostname), _opened(part), (open_to,), signs_in=False
        )
        for number, part in enumerate(parts, 1)
    ]
    return (whole, *opened)


def open_places(hostname: str) -> tuple[str, ...]:
    """What programs use, as Access names it. `host/x/*` is below `/x`, but not `/x` itself."""
    paths = []
    for path in PROGRAMS:
        if path.startswith(WELL_KNOWN):
            paths.append(f"{WELL_KNOWN}*")
        else:
            paths.append(f"{path}*" if path.endswith("/") else path)
    return tuple(f"{hostname}{path}" for path in dict.fromkeys(paths))


def too_long(hostname: str, topology: Topology) -> str:
    """The place that Access would refuse for its length, or an empty text."""
    places = (hostname, *(open_places(hostname) if topology == "oauth" else ()))
    return next((place for place in places if len(place) > MOST_CHARACTERS), "")


def _whole(hostname: str, topology: Topology) -> Mapping[str, Any]:
    managed = {
        "enabled": True,
        "dynamic_client_registration": {
            "enabled": True,
            "allow_any_on_localhost": True,
            "allow_any_on_loopback": True,
            "allowed_uris": list(REDIRECTS),
        },
        "grant": {"access_token_lifetime": "15m", "session_duration": "336h"},
    }
    # In topology oauth it would stand before the inner OAuth server, and answer for it.
    oauth = managed if topology == "access" else {"enabled": False}
    # 401 for a refused service token: a client that is no browser can do nothing with a login page.
    return {**_fields((hostname,)), "service_auth_401_redirect": True, "oauth_configuration": oauth}


def _opened(places: tuple[str, ...]) -> Mapping[str, Any]:
    closed = {"enabled": False}
    return {**_fields(places), "service_auth_401_redirect": False, "oauth_configuration": closed}


def _fields(places: tuple[str, ...]) -> Mapping[str, Any]:
    return {
        "type": "self_hosted",
        "domain": places[0],
        "destinations": [{"type": "public", "uri": place} for place in places],
        "session_duration": SESSION,
        "allowed_idps": [],  # all
        "auto_redirect_to_identity": False,
        "app_launcher_visible": False,
        "http_only_cookie_attribute": True,
        "same_site_cookie_attribute": "lax",
        "path_cookie_attribute": False,
        "enable_binding_cookie": False,  # wants cookies from clients that keep none
        "allow_authenticate_via_warp": False,
        "options_preflight_bypass": False,  # nothing passes that Access has not seen
        "skip_interstitial": False,
    }
