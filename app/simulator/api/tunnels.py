"""Tunnels over the API: they, their tokens, their configuration, and who is connected."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Any

from starlette.responses import Response

from app.simulator.api.account import Account
from app.simulator.api.asked import Asked
from app.simulator.api.collection import Wire
from app.simulator.api.envelope import Refused, filtered, page, required, succeeded

SECRET_BYTES = 32
_NOT_FOUND = (404, 1003, "Tunnel not found")


def tunnels(asked: Asked) -> Response:
    kept = asked.account.tunnels
    if asked.method == "GET":
        shown = [_shown(asked.account, tunnel) for tunnel in asked.listed(kept)]
        deleted = {
            "is_deleted": lambda found, text: (found["deleted_at"] is not None) == (text == "true"),
        }
        return page(filtered(shown, asked.query, "name", **deleted), asked.query)
    body = required(asked.body, "name")
    if any(tunnel["name"] == body["name"] and tunnel["deleted_at"] is None for tunnel in kept.all()):
        raise Refused(409, 1013, "You already have a tunnel with this name.")
    secret = _secret(body.get("tunnel_secret"))
    tunnel = {
        "id": asked.account.new_uuid(),
        "account_tag": asked.account.id,
        "created_at": asked.account.timestamp(),
        "deleted_at": None,
        "name": body["name"],
        "tun_type": "cfd_tunnel",
        "config_src": body.get("config_src", "local"),
        "remote_config": body.get("config_src") == "cloudflare",
        "metadata": {},
    }
    kept.put(tunnel)
    asked.account.keep_tunnel_secret(tunnel["id"], secret)
    credentials = {
        "AccountTag": asked.account.id,
        "TunnelID": tunnel["id"],
        "TunnelName": tunnel["name"],
        "TunnelSecret": base64.b64encode(secret).decode(),
    }
    token = asked.account.tunnel_token(tunnel["id"])
    return succeeded(
        _shown(asked.account, tunnel) | {"credentials_file": credentials, "token": token}, status=200
    )


def tunnel(asked: Asked) -> Response:
    kept = asked.account.tunnels
    found = asked.found(kept, "tunnel_id", _NOT_FOUND)
    if asked.method == "GET":
        return succeeded(_shown(asked.account, found))
    if found["deleted_at"] is not None:
        raise Refused(*_NOT_FOUND)
    if asked.method == "PATCH":
        return succeeded(_shown(asked.account, kept.put(found | {"name": asked.body["name"]})))
    if asked.account.connections.get(found["id"]) and asked.query.get("cascade") != "true":
        raise Refused(400, 1022, "Cannot delete tunnel because it has active connections")
    deleted = kept.put(found | {"deleted_at": asked.account.timestamp()})
    asked.account.connections.pop(found["id"], None)
    _tell(asked.account, found["id"])
    return succeeded(_shown(asked.account, deleted))


def token(asked: Asked) -> Response:
    found = _alive(asked)
    return succeeded(asked.account.tunnel_token(found["id"]))


def configuration(asked: Asked) -> Response:
    found = _alive(asked)
    kept = asked.account.configurations.get(found["id"])
    blank = {"tunnel_id": found["id"], "version": 0, "config": None, "source": found["config_src"]}
    if asked.method == "GET":
        return succeeded(kept or {**blank, "created_at": found["created_at"]})
    config = required(asked.body, "config")["config"]
    _check(config)
    changed = {
        **blank,
        "version": (kept["version"] if kept else 0) + 1,
        "config": {"warp-routing": {"enabled": False}, **config},
        "created_at": asked.account.timestamp(),
    }
    asked.account.configurations[found["id"]] = changed
    _tell(asked.account, found["id"])
    return succeeded(changed)


def connections(asked: Asked) -> Response:
    found = _alive(asked)
    if asked.method == "DELETE":
        asked.account.connections.pop(found["id"], None)
        _tell(asked.account, found["id"])
        return succeeded({})
    return succeeded(asked.account.connections.get(found["id"], []))


def _alive(asked: Asked) -> Wire:
    found = asked.found(asked.account.tunnels, "tunnel_id", _NOT_FOUND)
    if found["deleted_at"] is not None:
        raise Refused(*_NOT_FOUND)
    return found


def _secret(given: Any) -> bytes:
    if given is None:
        return secrets.token_bytes(SECRET_BYTES)
    try:
        secret = base64.b64decode(given, validate=True)
    except (binascii.Error, TypeError, ValueError):
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise Refused(400, 1004, "tunnel_secret must be at least 32 bytes, base64 encoded")
    return secret


def _check(config: Any) -> None:
    """As cloudflared would: the last rule, and only the last, matches everything."""
    rules = config.get("ingress") if isinstance(config, dict) else None
    if not isinstance(rules, list) or not rules or rules[-1].get("hostname") or rules[-1].get("path"):
        message = "The last ingress rule must match all URLs"
        raise Refused(400, 1056, f"Bad Configuration: {message}")


def _shown(account: Account, tunnel: Wire) -> Wire:
    connected = account.connections.get(tunnel["id"], [])
    status = "down" if tunnel["deleted_at"] else "healthy" if connected else "inactive"
    return {**tunnel, "status": status, "connections": connected}


def _tell(account: Account, tunnel_id: str) -> None:
    for watcher in account.watchers:
        watcher(tunnel_id)
