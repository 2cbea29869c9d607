"""Faults written before the rules were looked at. The first score of them is in docs/blackbox.md."""
