"""Where images come from: Parquet, pickled batches, class folders, drawn shapes, downloads."""
