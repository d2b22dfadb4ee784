"""Floor 3: what the runs' results say, as tables and figures. Nothing here imports torch."""
