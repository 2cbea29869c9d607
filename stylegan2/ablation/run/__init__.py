"""The runs of a study: one of them from start to end, and many at the same time."""
