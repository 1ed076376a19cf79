"""Makes the shared fixtures of `tests/support` known to every suite."""

pytest_plugins = ["tests.support.fixtures", "tests.support.isolation", "tests.support.cost"]
