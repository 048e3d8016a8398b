"""FaceBench."""
