"""Data loaders: whole batches of tensors, Albumentations, Lightning Bolts."""
