"""cloudflared: what it is told to let through, the check of that, which one is used, and running it."""
