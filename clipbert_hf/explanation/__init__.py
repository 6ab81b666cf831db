"""Why an answer: what each clip says and which decided, where the model looked, and reports of whole runs.

::

    explainer = Explainer.from_pretrained("runs/demo/model")
    why = explainer.explain("bikes.mp4", "what are they riding ?")
    print(why.answer, [why.clips[place] for place in why.deciding])
    explainer.attention(why), explainer.occlusion(why)     # arrays on the frame
    write_timeline(explainer, why, "timeline.png")
    write_heat_maps(explainer, why, "where.png")

Reports are made of run folders: :func:`clipbert_hf.explanation.report.write_report`.
"""

from .explainer import Explainer
from .figures import draw_heat_maps, draw_timeline, write_heat_maps, write_timeline
from .geometry import FrameGeometry, peak
from .moments import ClipAnswer, Explanation, clip_shares

__all__ = [
    "ClipAnswer",
    "Explainer",
    "Explanation",
    "FrameGeometry",
    "clip_shares",
    "draw_heat_maps",
    "draw_timeline",
    "peak",
    "write_heat_maps",
    "write_timeline",
]
