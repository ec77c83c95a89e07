"""Pure decisions: what is the latest of each symbol, what has changed, how batches are numbered."""
