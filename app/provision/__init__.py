"""Tunnel, DNS and Access at Cloudflare: what there should be, what there is, and the steps between."""
