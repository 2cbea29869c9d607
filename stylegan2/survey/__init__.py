"""What a set of images is like: sizes, modes, classes, duplicates, odd files. `pack` and `advise` report it."""

from stylegan2.survey.facts import Facts, examine
from stylegan2.survey.survey import Survey

__all__ = ["Facts", "Survey", "examine"]
