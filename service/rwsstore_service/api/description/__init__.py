"""The API and the settings, described: OpenAPI, and the pages in docs/ made of it."""
