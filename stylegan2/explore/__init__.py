"""Moving through a trained network: videos, sheets, directions, projection, and blending of two networks.

The commands `stylegan2 video`, `sheet`, `directions`, `project` and `blend` are thin layers over these functions.
"""

from .animation import write_animation
from .audio import audio_speeds, audio_times
from .blending import blend, kinship
from .centers import cluster_centers
from .directions import Directions, Edit, find_directions, parse_edits, read_directions, write_directions
from .distances import load_distance, psnr
from .film import Film, circle_walk, interpolation_walk
from .latents import image_of, latent, sample_w, truncated, w_of
from .panorama import widened
from .projection import Projection, ProjectionOptions
from .walks import Walk

__all__ = [
    "Directions",
    "Edit",
    "Film",
    "Projection",
    "ProjectionOptions",
    "Walk",
    "audio_speeds",
    "audio_times",
    "blend",
    "circle_walk",
    "cluster_centers",
    "find_directions",
    "image_of",
    "interpolation_walk",
    "kinship",
    "latent",
    "load_distance",
    "parse_edits",
    "psnr",
    "read_directions",
    "sample_w",
    "truncated",
    "w_of",
    "widened",
    "write_animation",
    "write_directions",
]
