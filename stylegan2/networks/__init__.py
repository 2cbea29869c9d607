"""The two networks, read bottom-up: scalings, layers, mapping, generator, discriminator."""
