"""What every process needs before it does anything: settings, clock, signals, supervision, logging, metrics, health.

Rooms: `settings` (what is configured), `logging` and `metrics` (how a process is seen), `health` (its HTTP endpoint),
`signals` and `supervise` (how it lives and ends), `clock` and `backoff` (time), `errors` (the tree of failures).
"""
