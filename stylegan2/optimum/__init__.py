"""Where the best value of a hyperparameter is, how it moves with the size of the networks, and which values train."""
