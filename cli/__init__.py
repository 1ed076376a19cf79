"""The command line `tokentide`."""
