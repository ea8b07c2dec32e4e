"""The official MCP conformance suite against both doors: `python -m tests.conformance`."""
