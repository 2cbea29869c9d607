"""Coordinate checks: how signal, gradient and steps grow with the size of the networks, as exponents."""
