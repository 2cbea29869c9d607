"""The tests. This file makes `tests` a package, so that none of the same name elsewhere is imported in its place."""
