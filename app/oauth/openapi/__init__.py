"""The OpenAPI document of the authorization server, app/oauth/openapi.json: `make docs` writes it."""
