"""Train StyleGAN2: `python train.py` for the embedded demo, `python train.py --help` for everything."""

import signal
import sys

if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends without a traceback

from stylegan2.__main__ import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:], "train.py"))
