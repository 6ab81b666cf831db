"""Whether maps of a model find what was asked for, and whether its confidence tells how often it is right."""
