"""A data set as a folder for the Hub; :mod:`datasets_scripts.export` is the command."""
