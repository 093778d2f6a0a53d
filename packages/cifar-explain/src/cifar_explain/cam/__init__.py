"""Class activation maps: methods, targets, overlays, and how faithful the maps are."""
