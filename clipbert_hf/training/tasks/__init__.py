"""The tasks: the settings, the collator and the :class:`~clipbert_hf.training.loop.Task` of each."""
