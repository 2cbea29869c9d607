"""No gradient passes through the minibatch standard deviation."""

from faults.official import Discriminator, Parts, minibatch_stddev

FINDINGS = ["minibatch statistic has no gradient"]
OBJECT = "gradient"


def stddev(x):
    y = minibatch_stddev(x)
    y[:, -1] = y[:, -1].detach()
    return y


def discriminator():
    return Discriminator(Parts(stddev=stddev))
