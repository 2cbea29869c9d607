"""A figure for tests, of which `dataclasses.replace` makes others."""

from stylegan2.metrics.figures import Figure

ONE = Figure(
    checkpoint="runs/a/checkpoints/kimg00001.000.ckpt",
    kimg=1.0,
    name="fid",
    column="fid",
    title="FID",
    better="lower",
    value=12.345678901234567,
    spread=0.25,
    images=1000,
    reals=500,
    reference="ab" * 32,
    source="png",
    resize="Lanczos to 32",
    features="Inception-v3",
    weights="cd" * 32,
    seed=3,
    repeats=2,
)
