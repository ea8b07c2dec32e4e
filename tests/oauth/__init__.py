"""The authorization server, row by row of its checklist."""
