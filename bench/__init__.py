"""Benchmarks. Each checks its result before it reports a time; compare figures of one machine only."""
