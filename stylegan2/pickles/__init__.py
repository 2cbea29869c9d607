"""Pickles, read as data: nothing in them is imported or called."""

from stylegan2.pickles.reader import Reader, UnsafePickle, read_pickle

__all__ = ["Reader", "UnsafePickle", "read_pickle"]
