"""Ablation studies: many short runs that show, by a statistical test, which scalings and constants matter."""
