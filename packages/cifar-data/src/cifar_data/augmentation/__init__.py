"""Random crops, flips, CutOut and colour jitter: their parameters, and their use on whole batches."""
