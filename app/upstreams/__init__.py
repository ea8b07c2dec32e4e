"""Other MCP servers behind the same doors: in this process, as processes of their own, or over HTTP."""
