"""Entry points of `torch.hub`: `torch.hub.load(REPOSITORY, "generator", checkpoint="network.pkl")`."""

dependencies = ["torch", "numpy", "safetensors", "yaml"]


def generator(checkpoint: str):
    """Load the generator for sampling from a file of any format that this package reads.

    Args:
        checkpoint: The file: a checkpoint of this package, a safetensors file, NVIDIA's .pkl, and others.

    Returns:
        The network on the CPU in evaluation mode, without gradients.

    Raises:
        InputError: The file does not exist, is damaged, or has no known format.
    """
    import stylegan2

    return stylegan2.load_generator(checkpoint)[0]
