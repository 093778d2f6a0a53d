"""Figures of a trained network, for light and dark pages."""
