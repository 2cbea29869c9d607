"""How fast the ops and whole networks are on this machine."""
