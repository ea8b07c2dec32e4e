"""What may come in, and as whom: one ASGI layer per listener."""
