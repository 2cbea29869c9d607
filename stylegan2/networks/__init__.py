"""The two networks. Read the modules in this order: scalings, layers, mapping, generator, discriminator."""
