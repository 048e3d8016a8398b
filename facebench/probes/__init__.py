"""What is done to a model or its images to see how it responds."""
