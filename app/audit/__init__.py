"""Who did what: every decision and refusal is one event."""
