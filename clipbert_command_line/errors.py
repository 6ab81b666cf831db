"""What a command refuses by itself, before anything of ``clipbert_hf`` is loaded."""


class CommandError(Exception):
    """The message tells users all there is to know."""
