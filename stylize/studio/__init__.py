"""The local page and its HTTP API: a server, and an engine that paints in a process of its own."""
