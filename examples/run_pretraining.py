"""Pre-train ClipBERT on single frames or images with captions: masked language modelling and image-text matching.

    accelerate launch examples/run_pretraining.py pretraining_moving_shapes \
        --data_dir data/moving_shapes --output_dir runs/pretraining

The flow, from the settings to the test, is one screen: ``clipbert_hf/training/scripts/pretraining.py``.
``clipbert train pretraining`` runs it too. Copy that file to change what happens.
"""

from clipbert_hf.training import run_script
from clipbert_hf.training.scripts.pretraining import main

__all__ = ["main"]

if __name__ == "__main__":
    run_script(main)
