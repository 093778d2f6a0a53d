"""LightningModule, optimizer, schedule, micro-batches, progressive resizing, test-time augmentation."""
