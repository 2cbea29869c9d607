"""`ImageData` makes a data set that is ready for training from options."""

from __future__ import annotations

from stylegan2.data.dataset import ImageDataset
from stylegan2.data.options import DataOptions


class ImageData(DataOptions):
    """The images to train on. `ImageData("photos", resolution=256).open()` reads and checks them.

    The arguments are the fields of `DataOptions`.
    """

    def open(self, minimum: int = 1, progress: bool = True) -> ImageDataset:
        """Find the images, check every one, and keep them in memory if they fit.

        Every call reads them again, so open the data once and pass the data set around.

        Args:
            minimum: The smallest number of images that is enough.
            progress: Whether to show a progress bar.

        Raises:
            InputError: The images cannot be used, or there are fewer than `minimum`.
        """
        dataset = ImageDataset(self)
        dataset.scan(progress)
        dataset.require(minimum)
        return dataset
