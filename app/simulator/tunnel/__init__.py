"""The side of the stand-in edge that a real cloudflared connects to.

Alone here h2 and pycapnp are imported, which only the development environment has.
"""
