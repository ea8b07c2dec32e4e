"""Who is at the door: the Cloudflare Access assertion, verified."""
