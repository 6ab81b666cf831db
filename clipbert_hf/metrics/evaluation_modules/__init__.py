"""The metrics for the library ``evaluate``, one class a file, each of which ``evaluate.load`` reads by its path."""
