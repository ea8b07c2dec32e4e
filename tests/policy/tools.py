"""A few tools as a policy knows them."""

from __future__ import annotations

from app.policy.check import Tool
from app.policy.decide import Operation

SEARCH = Tool(
    "search",
    True,
    {"properties": {"query": {}, "space": {"default": None}, "limit": {"default": 10}}},
)
TOOLS = (
    SEARCH,
    Tool("list_notes", True),
    Tool("create_note", False),
    Tool("delete_note", False),
    Tool("whoami", True),
)
TEMPLATES = ("note://{id}", "note://{id}/revisions/{version}")
OPERATIONS = (
    *(Operation("tool", tool.name, tool.read_only) for tool in TOOLS),
    *(Operation("resource", template) for template in TEMPLATES),
)
