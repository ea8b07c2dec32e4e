"""The doors of the server that runs here: each where it should be, and closed to what it must refuse."""

from __future__ import annotations

from app.doctor.checks import Verdict, fine, unasked, wrong
from app.doctor.web import Web
from app.settings import Settings, base
from app.settings.values import Tcp, Unix
from app.tunnel.answers import Answer, Unreached, who

# What only an edge adds (app/doors/lan.py); the addresses are of the range for documentation.
AS_FROM_THE_TUNNEL = {
    "Cf-Ray": "0000000000000000-DOC",
    "Cf-Connecting-Ip": "192.0.2.1",
    "Cf-Warp-Tag-Id": "doctor",
    "Cdn-Loop": "cloudflare; loops=1",
}
FORGED = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImRvY3RvciJ9.eyJhdWQiOltdfQ.Zm9yZ2Vk"
START = "start it: make run, or systemctl start brain-mcp"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - where a server that listens everywhere is asked


def lan_url(settings: Settings) -> str:
    door = settings.lan_door
    return f"http://{Tcp(_ANY.get(door.host, door.host).strip('[]'), door.port)}"


def tunnel_url(settings: Settings) -> str:
    """For a unix socket the host does not matter."""
    door = settings.tunnel_door
    if isinstance(door, Tcp):
        return f"http://{Tcp(_ANY.get(door.host, door.host).strip('[]'), door.port)}"
    return "http://tunnel-door"


async def lan_door(settings: Settings, here: Web) -> Verdict:
    url = lan_url(settings)
    return lan_verdict(await here.ask("GET", f"{url}/healthz"), url, "MCP_PORT")


def lan_verdict(answer: Answer | Unreached, url: str, variable: str) -> Verdict:
    if isinstance(answer, Unreached):
        return wrong(f"{url}: {answer.in_short()}", START)
    if answer.status == 200 and answer.document == {"status": "ok"}:
        return fine(f"{url} answers")
    if who(answer) == "the LAN door":
        return fine(f"{url} answers; this machine itself is not let in ({answer.error})")
    server = answer.headers.get("server", "no name")
    return wrong(
        f"{url} belongs to another program: {answer.in_short()} (server: {server})",
        f"stop that program, or give the Brain another port: {variable}",
    )


async def ready(settings: Settings, here: Web) -> Verdict:
    answer = await here.ask("GET", f"{lan_url(settings)}/readyz")
    if isinstance(answer, Unreached):
        return wrong(answer.in_short(), START)
    if answer.status in (403, 421):
        return unasked("the LAN door does not let this machine itself in")
    status = str((answer.document or {}).get("status", answer.in_short()))
    if answer.status != 200:
        return wrong(f"/readyz: {status}", "mend what the check `database` names, then restart the server")
    return fine(f"/readyz: {status}")


async def not_for_the_tunnel(settings: Settings, here: Web) -> Verdict:
    """A tunnel that points at the LAN door by mistake must get nothing there."""
    answer = await here.ask("GET", f"{lan_url(settings)}/mcp", headers=AS_FROM_THE_TUNNEL)
    if isinstance(answer, Unreached):
        return wrong(answer.in_short(), START)
    if answer.status == 421:
        return fine("a request with the headers of an edge gets 421")
    if answer.status == 429:
        return unasked("the LAN door has refused too much just now (429); ask again in a minute")
    return wrong(
        f"a request with the headers of an edge gets {answer.in_short()}",
        "stop the server and update it: the LAN door must refuse what comes by a tunnel",
    )


async def tunnel_door(settings: Settings, here: Web) -> Verdict:
    """Closed to nobody at all, and to a forged assertion."""
    url, host = tunnel_url(settings), base(settings).netloc
    shown = f"unix:{settings.tunnel_door.path}" if isinstance(settings.tunnel_door, Unix) else url
    for headers in ({}, {"Cf-Access-Jwt-Assertion": FORGED}):
        answer = await here.ask("GET", f"{url}/", headers={"Host": host, **headers})
        if (verdict := tunnel_verdict(answer, shown, host)) is not None:
            return verdict
    return fine(f"{shown} refuses who has no assertion, and a forged one")


def tunnel_verdict(answer: Answer | Unreached, url: str, host: str) -> Verdict | None:
    """None: it refuses as it should."""
    if isinstance(answer, Unreached):
        return wrong(f"{url}: {answer.in_short()}", START)
    speaker = who(answer)
    if speaker not in ("the tunnel door", "the LAN door"):
        return wrong(
            f"{url} belongs to another program: {answer.in_short()}",
            "stop that program, or give the Brain another port: TUNNEL_DOOR",
        )
    if answer.status == 421:
        return wrong(
            f"{url} does not go by the name {host}: the server runs with another BASE_URL",
            "restart the server, so that it reads the settings anew",
        )
    if answer.error == "door_closed":
        return fine(f"{url} is shut off by `brain deny door:tunnel`")
    if answer.status == 429:
        return unasked("the tunnel door has refused too much just now (429); ask again in a minute")
    if answer.status not in (401, 503):
        return wrong(
            f"{url} lets in a request without a good assertion: {answer.in_short()}",
            "shut it off now: brain deny door:tunnel; then update the server",
        )
    return None
