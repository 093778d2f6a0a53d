"""Network architectures, their registry, and batch norms fused into convolutions for inference."""
