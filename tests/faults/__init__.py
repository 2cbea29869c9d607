"""Networks, losses and training steps with one planted fault each, and what the black box must say of it."""
