"""Bytes to columns: one Arrow table for a fetched batch, and the items that were refused.

Two paths that agree: `columnar` parses a whole batch with Arrow and checks it with vectorised rules;
whatever it will not vouch for goes through `reference`, which is pydantic and has the last word.
"""
