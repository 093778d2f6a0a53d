"""Run directories: configuration, checkpoints, metrics, exported weights, summary."""
