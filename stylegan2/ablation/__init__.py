"""Ablation studies: many short runs that show, by a statistical test, which scalings and constants matter.

The data flow from one part to the next: `plan` says what is compared and measured, and keeps the folder. `run` trains
and measures, `statistics` judges, `report` shows. `looks` goes from the runs to the verdicts and back, in a study
that runs until it is decided.
"""
