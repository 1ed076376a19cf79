"""Where the worker writes: ClickHouse and Kafka, with retries by error code."""
