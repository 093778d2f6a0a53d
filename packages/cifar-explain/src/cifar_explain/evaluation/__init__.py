"""Predictions and what is computed from them: accuracy, calibration, OOD detection, errors."""
