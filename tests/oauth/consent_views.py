"""Views of the authorization server's pages, made by hand."""

from __future__ import annotations

from dataclasses import replace

from app.oauth.views import ConsentView, ErrorView, ScopeView, ToolView

REGISTERED = ConsentView(
    client_name="Claude",
    client_id="c0123456789",
    client_host=None,
    client_uri="https://claude.ai",
    redirect_uri="https://claude.ai/api/mcp/auth_callback",
    redirect_host="claude.ai",
    loopback=False,
    person="alice@example.com",
    scopes=(
        ScopeView(
            "mcp:tools:read",
            "Read: tools that only read, resources and prompts",
            True,
            (ToolView("search", "Search notes"), ToolView("fetch", "Read a note")),
        ),
        ScopeView(
            "mcp:tools:write",
            "Write: all other tools; includes reading",
            True,
            (ToolView("create_note", "Create a note"),),
        ),
        ScopeView(
            "notes:delete", "Delete and restore notes", True, (ToolView("delete_note", "Delete a note"),)
        ),
    ),
    withheld=("notes:share", "brain:admin"),
    known=False,
    resource="https://brain.example.com/mcp",
    action="/consent?request=opaque",
    request_id="opaque",
    expires_at=1_800_000_600.0,
    trace="feedfacefeedface",
)
DOCUMENT = replace(
    REGISTERED, client_id="https://claude.ai/oauth/client.json", client_host="claude.ai", withheld=()
)
OPERATORS = replace(REGISTERED, client_name="Nightly", client_id="nightly", by_operator=True, withheld=())
LOOPBACK = replace(
    REGISTERED,
    client_name="Claude Code",
    client_uri=None,
    redirect_uri="http://127.0.0.1:53682/callback",
    redirect_host="127.0.0.1",
    loopback=True,
    scopes=REGISTERED.scopes[:1],
    withheld=("mcp:tools:write",),
)
SCHEME = replace(
    REGISTERED,
    client_name="Cursor",
    redirect_uri="cursor://anysphere.cursor-mcp/oauth",
    redirect_host="cursor:",
)
KNOWN = replace(
    DOCUMENT,
    known=True,
    scopes=(replace(REGISTERED.scopes[0], new=False), *REGISTERED.scopes[1:]),
)
VIEWS = {
    "registered": REGISTERED,
    "document": DOCUMENT,
    "operator's": OPERATORS,
    "loopback": LOOPBACK,
    "scheme": SCHEME,
    "known": KNOWN,
}
UNKNOWN_CLIENT = ErrorView(
    400,
    "invalid_client",
    "This program is not registered here. It has to register again.",
    None,
    "feedfacefeedface",
)
ERRORS = {
    "unknown client": UNKNOWN_CLIENT,
    "bad request": replace(UNKNOWN_CLIENT, code="invalid_request", sentence="A parameter is repeated."),
    "not yours": replace(UNKNOWN_CLIENT, status=403, code="access_denied", sentence="Not asked of you."),
    "over": replace(UNKNOWN_CLIENT, code="question_over", sentence="It is too old or was answered."),
    "shut off": replace(UNKNOWN_CLIENT, status=403, code="denied", sentence="You are shut off."),
    "too often": replace(UNKNOWN_CLIENT, status=429, code="rate_limited", retry_after=30),
    "away": replace(UNKNOWN_CLIENT, status=503, code="store_unusable", sentence="The database is busy."),
}
