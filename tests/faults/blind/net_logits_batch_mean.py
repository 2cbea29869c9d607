"""Every logit is the mean over the batch."""

from faults.official import Discriminator, Parts

FINDINGS = ["logits ignore images", "logits of a batch are equal"]
OBJECT = "batch"


def discriminator():
    return Discriminator(Parts(logits_of=lambda logits: logits.mean(0, keepdim=True).expand_as(logits)))
