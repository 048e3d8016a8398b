"""Valid small files of every format that is read, and mutations of them."""
