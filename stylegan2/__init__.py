"""StyleGAN2 in modern PyTorch: train on your own images, understand every constant, trust the numbers."""

from .discriminator import Discriminator
from .generator import Generator
from .scalings import Scalings

__version__ = "0.1.0"
__all__ = ["Discriminator", "Generator", "Scalings", "__version__"]
