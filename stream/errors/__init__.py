"""Errors of calls: their class and who can mend them."""

from tokentide.stream.errors.classify import Owner, Verdict, classify

__all__ = ["Owner", "Verdict", "classify"]
