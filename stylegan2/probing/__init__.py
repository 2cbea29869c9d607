"""Probing of networks: `measure` takes the numbers, `rules` turn them into findings, `report` writes them down."""

from stylegan2.probing.measure.layers import Probe, Row, probe

__all__ = ["Probe", "Row", "probe"]
