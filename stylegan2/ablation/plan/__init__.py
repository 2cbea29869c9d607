"""What a study compares, what it measures, and its folder."""
