"""Decoded images and labels: arrays, cache, fingerprint, stratified split."""
