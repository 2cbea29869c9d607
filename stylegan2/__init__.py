"""StyleGAN2 in modern PyTorch: train on your own images, understand every constant, trust the numbers."""

# ruff: noqa: E402
from typing import TYPE_CHECKING

from .console import hear_interrupts_early

hear_interrupts_early()  # before the imports that take long

from . import kernels as _kernels  # noqa: F401 (the import registers the kernels and compiles nothing)
from .networks.config import DiscriminatorConfig, GeneratorConfig
from .networks.discriminator import Discriminator
from .networks.generator import Generator
from .networks.scalings import Scalings

if TYPE_CHECKING:
    from .blackbox import audit, probe_gan
    from .formats import load_generator
    from .probing import probe

__version__ = "0.2.0.dev0"
__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "Generator",
    "GeneratorConfig",
    "Scalings",
    "__version__",
    "audit",
    "from_pretrained",
    "load_generator",
    "probe",
    "probe_gan",
    "save_pretrained",
]


def __getattr__(name: str) -> object:
    if name == "probe":  # these modules are imported only when they are used
        from .probing import probe

        return probe
    if name in ("audit", "probe_gan"):
        from . import blackbox

        return getattr(blackbox, name)
    if name == "load_generator":
        from .formats import load_generator

        return load_generator
    if name in ("from_pretrained", "save_pretrained"):
        from .formats import hub

        return getattr(hub, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
