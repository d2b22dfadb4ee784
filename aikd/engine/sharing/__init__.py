"""Results handed on without models and without images: one file, from which all tables and figures are made again."""
