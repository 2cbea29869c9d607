"""Measurements of what the layers, the blocks and the losses of networks do. Nothing is judged here."""
