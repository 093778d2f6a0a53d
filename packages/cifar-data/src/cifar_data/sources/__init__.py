"""Sources of images: Parquet, pickled batches, class folders, drawn shapes, downloads."""
