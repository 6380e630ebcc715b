"""Data sets in, bundles out: models, recipes and export. The only package that imports torch."""
