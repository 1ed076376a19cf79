"""Recorded traces as events: a mapping file says which column is which field.

- `mapping`, `load`      what a mapping says, and its strict reading from TOML
- `expressions`, …       the small language of its fields
- `readers`, `otel`      rows of CSV, JSON lines and OpenTelemetry spans
- `compiling`            a mapping for one file, as a function from row to event
- `replay`               the loop: read, map, pace, send, report
"""
