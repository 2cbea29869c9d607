"""Advice before a run: options that suit a set of images and this machine, each with its reason."""
