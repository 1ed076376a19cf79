"""Tokentide's decoder in native code. Made for the package `tokentide`, which hands the contract over and has the last word."""

from tokentide_native._native import INTERFACE, Decoder, Other, PanicError, TableBuilder

__all__ = ["INTERFACE", "Decoder", "Other", "PanicError", "TableBuilder"]
