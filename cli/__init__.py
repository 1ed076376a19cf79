"""The command line `tokentide`. Nothing imports this package; see `tokentide.cli.registry` for the commands."""
