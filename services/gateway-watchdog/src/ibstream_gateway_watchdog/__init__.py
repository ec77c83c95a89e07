"""The watchdog: it sees whether Gateway, services and bus are well, derives the system's mode, and tells everyone.

It takes no client id. Rooms: `domain` (pure: the mode, the picture of the services, IBKR's reset windows), `status` (the facts
and what follows from them), `service` (feeds the facts, publishes the outcome), `http`, `server` and `hub` (HTTP and WebSocket).
"""
