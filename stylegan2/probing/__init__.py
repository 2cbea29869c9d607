"""Probing of networks: measures what every layer does, applies rules to the numbers, and reports faults."""

from stylegan2.probing.layers import Probe, Row, probe

__all__ = ["Probe", "Row", "probe"]
