"""A server under load: right answers only, flat memory, and what batching gains; ``python -m benchmarks.serving``."""
