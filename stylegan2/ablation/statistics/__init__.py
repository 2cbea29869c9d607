"""From the results of a study to a verdict on each variant, and from a pilot to the seeds that a study needs."""
