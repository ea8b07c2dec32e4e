"""The inner OAuth 2.1 authorization server: each client gets only the scopes that its person consented to."""
