"""Networks, their registry, and batch norms fused into convolutions."""
