"""Real MCP clients against the real server: `python -m tests.clients`."""
