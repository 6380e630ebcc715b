"""The networks, one architecture a file, and the loader of their public checkpoints."""
