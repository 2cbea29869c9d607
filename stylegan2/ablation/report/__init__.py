"""The report of a study: its page, its tables and its figures."""
