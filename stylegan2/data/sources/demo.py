"""The demo data set, which comes with the package."""

import os
from pathlib import Path

from stylegan2.data.sources import sources
from stylegan2.data.sources.zip import Zip

ARCHIVE = Path(__file__).parents[2] / "assets" / "demo.zip"


@sources.register("demo")
class Demo(Zip):
    """1,906 emoji in nine folders, such as demo:smileys-emotion. The path ./demo is a user's own folder.

    If the path demo/smileys-emotion does not exist, it means demo:smileys-emotion.
    """

    def __init__(self, path: str):
        super().__init__(str(ARCHIVE / path[len("demo:") :]))

    @staticmethod
    def takes(path: str) -> bool:
        return (
            path == "demo"
            or path.startswith("demo:")
            or (path.startswith("demo/") and not os.path.exists(path))
        )
