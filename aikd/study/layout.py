"""Names of the files that a study's results consist of."""

RUNS = "runs"
"""Folder of all runs within the results; a run's own path follows."""

MODEL = "model.safetensors"
HISTORY = "history.csv"
SUMMARY = "train.json"
PREDICTIONS = "predictions.safetensors"
METRICS = "metrics.json"
MANIFEST = "manifest.json"
