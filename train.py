"""Train StyleGAN2: `python train.py` for the embedded demo, `python train.py --help` for everything."""

import sys

from stylegan2.__main__ import run

if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:], "train.py"))
