"""What several suites share: real brokers, a faulty network. Imported as `tests.support` from the repository's root."""
