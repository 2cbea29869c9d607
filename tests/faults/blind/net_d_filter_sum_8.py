"""The filter in front of D's skips is [1, 3, 3, 1] along both axes, divided by 8 once instead of twice."""

from faults.official import Block, Discriminator, Parts, blur, downsample

FINDINGS = ["FIR gain"]
OBJECT = "8"


class Faulty(Block):
    def forward(self, x):
        y = self.parts.activate(self.conv0(x))
        y = self.parts.activate(downsample(self.conv1(y)))
        return (y + self.skip(blur(x, 8.0, (1, 1))[:, :, ::2, ::2])) * self.parts.residual_gain


def discriminator():
    d = Discriminator()
    for i, block in enumerate(d.blocks):
        d.blocks[i] = Faulty(32, 32, Parts())
        d.blocks[i].load_state_dict(block.state_dict())
    return d
