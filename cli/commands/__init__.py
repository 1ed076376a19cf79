"""One module a command: its arguments, its help, and a `run` that calls the work elsewhere."""
