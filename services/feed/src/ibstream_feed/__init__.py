"""The feed: streaming quotes of one IBKR connection (client id base + 2), in batches on `quotes:<shard>`."""
