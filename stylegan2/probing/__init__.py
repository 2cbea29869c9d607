"""Looking into networks: measure what every layer does, apply rules to the numbers, report what is wrong."""

from stylegan2.probing.layers import Probe, Row, probe

__all__ = ["Probe", "Row", "probe"]
