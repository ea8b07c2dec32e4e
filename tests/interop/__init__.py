"""Real clients that log in, with the simulator in the place of Cloudflare Access."""
