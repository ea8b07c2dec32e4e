"""`brain oauth`: clients, grants, their end, and new signing keys."""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path
from typing import Any

from app.audit.chain import milliseconds, timestamp
from app.cli.database import clock, with_store
from app.cli.policy_files import Usage
from app.oauth.documents import is_key_set
from app.oauth.keys import SigningKeys
from app.oauth.minting import client_subject
from app.oauth.models import AuthMethod, Client, Grant, fingerprint_of
from app.oauth.resource import resource_of
from app.settings import Settings
from app.store.audit import SqlAudit
from app.store.grants import SqlOAuth
from app.store.open import Store


def register(nouns: Any) -> None:
    verbs = nouns.add_parser("oauth", help="clients, grants, keys of the inner OAuth server").add_subparsers(
        required=True, metavar="VERB"
    )
    for name, run, text in (
        ("clients", run_clients, "who registered or was named by a document"),
        ("grants", run_grants, "who consented to what for which client"),
        ("add", run_add, "a client for a machine (client_credentials); its secret is shown once"),
        ("revoke", run_revoke, "end a grant, or a client with all its grants; counts at once"),
        ("rotate-keys", run_rotate, "a new signing key; the old one goes when its last token is dead"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--json", action="store_true", help="as JSON")
        verb.set_defaults(run=run)
        if name == "grants":
            verb.add_argument("--who", metavar="EMAIL", help="of this person alone")
        if name == "add":
            verb.add_argument("who", metavar="NAME", help="what the machine is called")
            verb.add_argument("--scopes", required=True, metavar="A,B", help="the most that it may ask for")
            verb.add_argument("--jwks", type=Path, metavar="FILE", help="its public keys, for a secret")
            verb.set_defaults(on_record="oauth/add")
        if name == "revoke":
            verb.add_argument("who", metavar="ID", help="a grant's or a client's id")
            verb.set_defaults(on_record="oauth/revoke")
        if name == "rotate-keys":
            verb.add_argument("--at-once", action="store_true", help="a key got out: all tokens die now")
            verb.set_defaults(on_record="oauth/rotate-keys")


def run_clients(args: argparse.Namespace, settings: Settings) -> int:
    async def read(store: Store, _: SqlAudit) -> tuple[Client, ...]:
        return await SqlOAuth(store.database).clients()

    found = with_store(settings, read)
    if args.json:
        print(json.dumps([_client(client) for client in found], indent=2))
        return 0
    for client in found:
        used = _time(client.last_used_at) if client.last_used_at else "never"
        print(f"{client.id}  {client.name!r}  {client.origin}  last used {used}")
    if not found:
        print("No client has registered.")
    return 0


def run_grants(args: argparse.Namespace, settings: Settings) -> int:
    async def read(store: Store, _: SqlAudit) -> tuple[Grant, ...]:
        return await SqlOAuth(store.database).grants(clock(), args.who.lower() if args.who else None)

    found = with_store(settings, read)
    if args.json:
        print(json.dumps([_grant(grant) for grant in found], indent=2))
        return 0
    for grant in found:
        used = _time(grant.last_used_at) if grant.last_used_at else "never"
        scopes = " ".join(sorted(grant.scopes))
        print(f"{grant.id}  {grant.principal_id}  {grant.client_id}  {scopes}  last used {used}")
    if not found:
        print("Nobody has consented to anything.")
    return 0


def run_add(args: argparse.Namespace, settings: Settings) -> int:
    jwks = _jwks(args.jwks) if args.jwks else None
    secret = None if jwks else secrets.token_urlsafe(32)
    client_id = f"m{secrets.token_urlsafe(16)}"
    methods: tuple[AuthMethod, ...] = ("client_secret_basic", "client_secret_post")
    client = Client(
        id=client_id,
        origin="operator",
        name=args.who,
        redirect_uris=(),
        auth_methods=frozenset({"private_key_jwt"} if jwks else methods),
        grant_types=frozenset({"client_credentials"}),
        created_at=clock(),
        fingerprint=fingerprint_of(client_id),
        secret_sha256=fingerprint_of(secret) if secret else None,
        jwks=jwks,
        scopes=frozenset(scope.strip() for scope in args.scopes.split(",") if scope.strip()),
    )

    async def add(store: Store, _: SqlAudit) -> None:
        await SqlOAuth(store.database).add_client(client)

    with_store(settings, add)
    if args.json:
        print(json.dumps({"client_id": client_id, "client_secret": secret}))
        return 0
    print(f"client_id      {client_id}")
    if secret:
        print(f"client_secret  {secret}   (shown this once)")
    print(f'Rules name it so: service_tokens = ["{client_subject(client_id)}"]')
    return 0


def _jwks(path: Path) -> dict[str, Any]:
    try:
        keys = json.loads(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise Usage(f"{path} cannot be read as JSON: {problem}") from None
    if not is_key_set(keys):
        raise Usage(f'{path} is not a JWK Set; it looks like {{"keys": [ … ]}}, with public keys alone')
    found: dict[str, Any] = keys
    return found


def run_revoke(args: argparse.Namespace, settings: Settings) -> int:
    async def revoke(store: Store, _: SqlAudit) -> str | None:
        oauth = SqlOAuth(store.database)
        if await oauth.revoke_grant(args.who, clock()):
            return "grant"
        return "client" if await oauth.delete_client(args.who, clock()) else None

    what = with_store(settings, revoke)
    if args.json:
        print(json.dumps({"revoked": what, "id": args.who}))
    elif what is None:
        print(f"No live grant and no client has the id {args.who}; `brain oauth grants` lists them.")
    else:
        print(f"The {what} {args.who} is revoked, and every token of it.")
    return 0 if what else 1


def run_rotate(args: argparse.Namespace, settings: Settings) -> int:
    keys = SigningKeys(
        settings.data_dir,
        algorithm=settings.oauth_signing_alg,
        issuer=settings.base_url,
        resource=resource_of(settings.base_url),
        now=clock,
        new_id=lambda: secrets.token_urlsafe(32),
    )
    kid = keys.rotate(at_once=args.at_once)
    when = "at once; all tokens so far are dead" if args.at_once else "as soon as clients had time to see it"
    print(json.dumps({"kid": kid, "at_once": args.at_once}) if args.json else f"New key {kid}, signs {when}.")
    return 0


def _client(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "name": client.name,
        "origin": client.origin,
        "redirect_uris": list(client.redirect_uris),
        "created_at": _time(client.created_at),
        "last_used_at": _time(client.last_used_at) if client.last_used_at else None,
    }


def _grant(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "who": grant.principal_id,
        "client": grant.client_id,
        "scopes": sorted(grant.scopes),
        "created_at": _time(grant.created_at),
        "last_used_at": _time(grant.last_used_at) if grant.last_used_at else None,
        "expires_at": _time(grant.expires_at),
    }


def _time(seconds: float) -> str:
    return timestamp(milliseconds(seconds))
