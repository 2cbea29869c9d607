"""Generate images from a checkpoint: `python generate.py --checkpoint FILE`, `--help` for everything."""

import sys

from stylegan2.__main__ import run

if __name__ == "__main__":
    sys.exit(run("generate", sys.argv[1:], "generate.py"))
