"""Exact frames of any video, by index: a library of its own, which knows nothing of the model.

Read :mod:`clipbert_hf.video.reading` first: ``open_video``, ``probe_video``, ``read_video_frames``. Sampling of clips
is index arithmetic without I/O; sources say what a video may be; each back end is a reader.
"""
