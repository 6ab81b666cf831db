"""The command ``clipbert``.

A package beside ``clipbert_hf``, whose import loads torch and takes seconds: help, completion and refused options must
not wait for it. The files here declare commands and load little; what a command does lies in ``actions`` and is loaded
when it is called.
"""
