"""Classification, explanation and misclassified images, without a page."""
