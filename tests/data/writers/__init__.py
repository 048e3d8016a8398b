"""Writers of small files in the formats of the field, for the tests of their readers."""
