"""Bundles for Hugging Face Spaces and their deployment."""
