"""The page's HTML: templates, style sheet, and the functions that fill them."""
