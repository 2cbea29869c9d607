"""The catalogue of normalizations: what each does, measured in one layer, and a page for each."""
