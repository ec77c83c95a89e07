"""Pure decisions: how an answer is cut into chunks."""
