"""Files that the app serves: weights, gallery, report, examples."""
