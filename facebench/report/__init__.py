"""What reports are made of: page, tables, charts, words and the verdict; results are read only, never a model."""
