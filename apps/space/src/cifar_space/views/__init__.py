"""HTML of what the page shows."""
