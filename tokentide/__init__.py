"""Tokentide: an open telemetry pipeline for applications that call large language models.

The code lives in the folders at the top of the repository; `tokentide/` holds one link to each,
so that they install as `tokentide.schemas`, `tokentide.stream`, … (see docs/decisions/0001).
"""

__version__ = "0.1.0"
