"""``python -m clipbert_command_line``."""

from .main import script

script()
