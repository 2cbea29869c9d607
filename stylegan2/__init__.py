"""StyleGAN2 in modern PyTorch: train on your own images, understand every constant, trust the numbers."""

from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings

__version__ = "0.1.0"
__all__ = ["Discriminator", "Generator", "Scalings", "__version__", "probe"]


def __getattr__(name: str):
    if name == "probe":  # its module imports the training framework: only when asked for
        from stylegan2.probing import probe

        return probe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
