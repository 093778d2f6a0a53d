"""Weights files that carry their architecture and preprocessing, model cards, and the Hugging Face Hub."""
