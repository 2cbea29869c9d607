"""Looking into networks: what every layer does to signal, gradient and step size, and what is wrong."""

from stylegan2.probing.measure import Probe, Row, probe

__all__ = ["Probe", "Row", "probe"]
