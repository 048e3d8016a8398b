"""Reference models FaceBench ships, with the code that made their weights."""
