"""Fine-tune and evaluate ClipBERT on text-to-video and video-to-text retrieval.

    accelerate launch examples/run_retrieval.py retrieval_moving_shapes \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/retrieval

The flow, from the settings to the test, is one screen: ``clipbert_hf/training/scripts/retrieval.py``.
``clipbert train retrieval`` runs it too. Copy that file to change what happens.
"""

from clipbert_hf.training import run_script
from clipbert_hf.training.scripts.retrieval import main

__all__ = ["main"]

if __name__ == "__main__":
    run_script(main)
