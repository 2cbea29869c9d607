"""The last block's to-image layer is not added to the image."""

from faults.official import Generator, upsample

FINDINGS = ["parameters without effect", "layer never called", "parameters without gradient"]
OBJECT = "to_rgb.2"


class Faulty(Generator):
    def synthesis(self, ws):
        x = self.first(self.const.repeat(len(ws), 1, 1, 1), ws[:, 0])
        image = self.first_rgb(x, ws[:, 1])
        for i, to_rgb in enumerate(self.to_rgb):
            x = self.convs[2 * i](x, ws[:, 2 * i + 1])
            x = self.convs[2 * i + 1](x, ws[:, 2 * i + 2])
            image = upsample(image, 4.0)
            if i < 2:
                image = image + to_rgb(x, ws[:, 2 * i + 3])
        return image


def generator():
    return Faulty()
