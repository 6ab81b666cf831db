"""The parts of the app, one role each; ``app.py`` beside this folder puts them together."""
