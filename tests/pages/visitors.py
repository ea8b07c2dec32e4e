"""Facts of the page for one visitor of each kind, made by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.audit.activity import HOUR, Activity, Hour, PastCall, Seen
from app.pages.connect import lan_snippets, tunnel_snippets
from app.pages.home import Address, Applied, Home, Operator, PolicyText, RuleText, Usable
from app.principal import LAN, Principal

AT = 1_800_000_000_000
URL = "https://brain.example.com/mcp"
PUBLIC = Address(URL, tunnel_snippets("https://brain.example.com"))
LOCAL = Address("http://127.0.0.1:8084/mcp", lan_snippets("http://127.0.0.1:8084/mcp"), "On this machine.")
READ = ("mcp:tools:read", "Read: tools that only read, resources and prompts")


@dataclass(frozen=True)
class Entry:
    target: str
    at: float
    by: str


def call(name: str = "search", *, decision: str = "allow", status: int = 200, who: str = "") -> PastCall:
    return PastCall(AT, "tunnel", who, "tools/call", name, decision, "because", status, "0123456789abcdef")


PERSON = Home(
    principal=Principal("person", "alice@example.com", "tunnel", "alice@example.com"),
    request_id="feedfacefeedface",
    rules=(Applied("family", "e-mail is alice@example.com", (READ,)),),
    scopes=("mcp:tools:read",),
    tools=(
        Usable(
            "search",
            "Search notes",
            "Finds notes.",
            False,
            ("limit must be at most 20",),
            "main and your own",
        ),
        Usable("create_note", "Create a note", "Writes a new note.", True, (), "main and your own"),
        Usable("whoami", "Who am I here", "Who you are.", False, (), ""),
    ),
    hidden=2,
    address=PUBLIC,
    calls=(
        call(),
        call("create_note", status=409),
        call("delete_note", decision="deny", status=403),
        call("search", status=499),
    ),
)
STRANGER = replace(
    PERSON,
    principal=Principal(
        "person", "eve@elsewhere.example", "tunnel", "eve@elsewhere.example", groups=frozenset({"guests"})
    ),
    rules=(),
    scopes=(),
    tools=PERSON.tools[2:],
    hidden=11,
    calls=(),
)
SERVICE = replace(
    PERSON,
    principal=Principal("service", "nightly.access", "tunnel"),
    rules=(Applied("nightly", "service token is nightly.access", (READ,)),),
)
CONSENTED = replace(
    PERSON,
    principal=replace(PERSON.principal, client="Some client", token_scopes=frozenset({"mcp:tools:read"})),
)
OPERATOR_PART = Operator(
    policy=PolicyText(
        "The policy file has problems:\n- not TOML",
        ("*",),
        (READ,),
        (RuleText("family", ("alice@example.com",), ("mcp:tools:read",), "main", ("search: limit …",)),),
        3,
        ("FAIL  allow  eve@example.com  search: is deny\n        because no rule",),
    ),
    activity=Activity(
        AT - 24 * HOUR,
        False,
        (
            Seen("alice@example.com", "person", AT, 5, 1, 9, 2),
            Seen("nightly.access", "service", AT, 0, 0, 1, 0),
        ),
        tuple(Hour(AT - n * HOUR, n % 5, n % 2, 0) for n in range(24)),
        (call("delete_note", decision="deny", who="bob@example.com"),),
        (call("GET /mcp", decision="refuse"),),
    ),
    shut_off=(Entry("mallory@example.com", AT / 1000, "root"),),
    audit_healthy=False,
    tunnel=True,
    key_age=4000.0,
)
OPERATOR = replace(PERSON, operator=OPERATOR_PART)
ON_THE_LAN = replace(OPERATOR, principal=LAN, address=LOCAL, rules=(Applied("lan", "came in", (READ,)),))
QUIET = replace(
    OPERATOR,
    calls=None,
    operator=replace(
        OPERATOR_PART,
        policy=PolicyText(None, (), (), (), 0, ()),
        activity=None,
        shut_off=None,
        audit_healthy=True,
        key_age=None,
    ),
)
EMPTY = replace(
    OPERATOR,
    calls=(),
    tools=(),
    operator=replace(
        OPERATOR_PART,
        policy=PolicyText(None, (), (), (), 2, ()),
        activity=Activity(0, True, (), tuple(Hour(AT, 0, 0, 0) for _ in range(24)), (), ()),
        shut_off=(),
        tunnel=False,
    ),
)
ALL = {
    "person": PERSON,
    "stranger": STRANGER,
    "service": SERVICE,
    "consented": CONSENTED,
    "operator": OPERATOR,
    "lan": ON_THE_LAN,
    "without a database": QUIET,
    "nothing to tell": EMPTY,
}
