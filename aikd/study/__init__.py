"""Floor 0: what is to be run. Nothing here imports torch or reads results."""
