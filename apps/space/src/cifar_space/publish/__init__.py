"""The bundle of a Hugging Face Space and its upload."""
