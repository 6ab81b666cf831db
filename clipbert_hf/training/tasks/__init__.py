"""The tasks: the settings, the collator and the :class:`~clipbert_hf.training.evaluation.Task` of each."""
