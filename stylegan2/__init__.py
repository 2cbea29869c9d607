"""StyleGAN2 in modern PyTorch: train on your own images, understand every constant, trust the numbers."""

from .discriminator import Discriminator
from .generator import Generator
from .scalings import Scalings

__version__ = "0.1.0"
__all__ = ["Discriminator", "Generator", "Scalings", "__version__", "probe"]


def __getattr__(name: str):
    if name == "probe":  # its module imports the training framework: only when asked for
        from .probing import probe

        return probe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
