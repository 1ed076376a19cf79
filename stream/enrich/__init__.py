"""Decoded events to event rows: tokens counted, calls priced, errors classified, content reduced to what may be kept.

Each step takes a table and returns it with columns added or replaced; `enricher.Enricher` is the chain.
"""
