"""Resource indicators (RFC 8707): there is one resource, and clients write it in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

PATH = "/mcp"
_DEFAULT_PORTS = {"https": 443, "http": 80}


def resource_of(issuer: str) -> str:
    """The resource identifier: what people type into a client, byte for byte."""
    return issuer + PATH


def canonical(values: Sequence[str], issuer: str) -> str | None:
    """The one resource if all `values` mean it, else None (`invalid_target`).

    None at all mean it too: clients of 2025-03-26 send none. Some send the origin alone.
    """
    resource = resource_of(issuer)
    return resource if all(_means(value, resource) for value in values) else None


def _means(value: str, resource: str) -> bool:
    try:
        asked, ours = urlsplit(value), urlsplit(resource)
        same_port = _port(asked.scheme, asked.port) == _port(ours.scheme, ours.port)
    except ValueError:
        return False
    # RFC 8707 §2: an absolute URI without a fragment.
    if (
        any(mark in value for mark in "#?@\\")
        or not value.isascii()
        or not value.isprintable()
        or " " in value
    ):
        return False
    same_host = asked.scheme == ours.scheme and asked.hostname == ours.hostname and same_port
    return same_host and asked.path in ("", "/", PATH, PATH + "/")


def _port(scheme: str, port: int | None) -> int | None:
    return port or _DEFAULT_PORTS.get(scheme)
