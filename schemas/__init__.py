"""The contract: events, windows, incidents and dead letters, and the schemas derived from them."""
