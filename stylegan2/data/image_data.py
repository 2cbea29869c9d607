"""The way from options to a data set that is ready for training."""

from __future__ import annotations

from stylegan2.data.dataset import ImageDataset
from stylegan2.data.options import DataOptions


class ImageData(DataOptions):
    """The images to train on: `ImageData("photos", resolution=256).open()` reads and checks them.

    The arguments are the fields of `DataOptions`.
    """

    def open(self, minimum: int = 1, progress: bool = True) -> ImageDataset:
        """Find the images, look at every one, and keep them in memory if they fit.

        Every call reads them again, so a program opens its data once and hands the data set on.

        Args:
            minimum: The fewest images that will do.
            progress: Whether to show a progress bar.

        Raises:
            InputError: The images cannot be used, or there are fewer than `minimum`.
        """
        dataset = ImageDataset(self)
        dataset.scan(progress)
        dataset.require(minimum)
        return dataset
