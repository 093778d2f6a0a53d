"""Analysis of trained weights, and the report page, figures and model card made of it."""
