"""The engines of one machine: a Kafka broker, ClickHouse and workers as child processes.

Only `tokentide up`, `tokentide demo` and tests import this; the pipeline gets two addresses and knows no more.
"""
