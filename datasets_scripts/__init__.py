"""Data sets of clipbert_hf: one importable builder a file, none of which imports the model."""
