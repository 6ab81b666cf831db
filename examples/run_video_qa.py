"""Fine-tune and evaluate ClipBERT on questions about videos: open-ended ones, counting, and image VQA.

    accelerate launch examples/run_video_qa.py video_qa_moving_shapes \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/qa

The flow, from the settings to the test, is one screen: ``clipbert_hf/training/scripts/video_qa.py``.
``clipbert train video_qa`` runs it too. Copy that file to change what happens.
"""

from clipbert_hf.training import run_script
from clipbert_hf.training.scripts.video_qa import main

__all__ = ["main"]

if __name__ == "__main__":
    run_script(main)
