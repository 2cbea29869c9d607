"""Faults of anybody's GAN: networks that are only called, penalty functions, and training steps."""

from stylegan2.blackbox.audit import Audit, audit
from stylegan2.blackbox.penalties import check_path_length, check_r1
from stylegan2.blackbox.report import GANProbe, probe_gan

__all__ = ["Audit", "GANProbe", "audit", "check_path_length", "check_r1", "probe_gan"]
