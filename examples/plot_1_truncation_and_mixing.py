"""
Truncation
==========

A picture.
"""

print(1)
