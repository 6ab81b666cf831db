"""Videos re-encoded once, so that many epochs read them quickly; :mod:`datasets_scripts.prepare` is the command."""
