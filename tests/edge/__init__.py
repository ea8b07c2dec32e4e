"""Through the stand-in edge and a real cloudflared."""
