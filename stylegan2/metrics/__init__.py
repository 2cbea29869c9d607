"""Numbers that say how good images are: from images or a `sample(n)`, never from a network."""
