"""Where rows go: ClickHouse, with retries by error code. Kafka is written by `tokentide.stream`."""
