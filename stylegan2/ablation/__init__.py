"""Is every scaling needed, and is its constant the best? Many short runs, compared by a stated test."""
