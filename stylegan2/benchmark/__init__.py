"""Timing of the ops and of whole networks on this machine."""
