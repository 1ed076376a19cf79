"""Joins the parts of a call (`request`, `response`, `error`) into one call. Pure: the log's own times decide, no clock does.

`call` says what a call of parts looks like, `waiting` which parts wait for which, `batch` does it for the records of a batch.
"""
