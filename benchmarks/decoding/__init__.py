"""Decoding against the published procedure and other decoders: ``python -m benchmarks.decoding``."""
