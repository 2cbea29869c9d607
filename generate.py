"""Generate images from a checkpoint: `python generate.py --checkpoint FILE`, `--help` for everything."""

import signal
import sys

if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends without a traceback

from stylegan2.__main__ import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run("generate", sys.argv[1:], "generate.py"))
