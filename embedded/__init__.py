"""One machine: the broker, the ClickHouse engine and the workers as child processes."""
