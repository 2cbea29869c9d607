"""The page about a training run, or about several runs side by side."""

from .page import write_report
from .record import RunRecord, read_run

__all__ = ["RunRecord", "read_run", "write_report"]
