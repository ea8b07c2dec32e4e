"""A stand-in for Cloudflare Access and its edge, for `make demo` and the tests."""
