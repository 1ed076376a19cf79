"""What several suites share: real brokers, a faulty network. Imported as `tests.support` from the repository's root."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # kafka-python reads its schemas with functions that Python 3.11 deprecates; warnings are errors here.
    warnings.filterwarnings("ignore", message=".*_text is deprecated", category=DeprecationWarning)
    import kafka
    import kafka.admin
    import kafka.protocol.metadata
    import kafka.protocol.parser  # noqa: F401
