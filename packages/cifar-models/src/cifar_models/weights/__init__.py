"""Weights files that carry their architecture and preprocessing, and the Hugging Face Hub."""
