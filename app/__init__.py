"""Brain MCP: an MCP server behind two doors, the LAN's and the tunnel's."""

__version__ = "0.1.0"
