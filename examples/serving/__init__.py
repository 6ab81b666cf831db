"""A server of answers: FastAPI before a pipeline, whose model answers waiting requests together.

Read :mod:`~examples.serving.batcher` for the batching, :mod:`~examples.serving.answering` for the way of a request,
:mod:`~examples.serving.intake` for what bounds an upload, and :mod:`~examples.serving.web` for the endpoints.
"""
