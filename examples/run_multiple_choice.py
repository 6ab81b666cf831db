"""Fine-tune and evaluate ClipBERT on multiple choice questions about videos.

    accelerate launch examples/run_multiple_choice.py multiple_choice_moving_shapes \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/multiple_choice

The flow, from the settings to the test, is one screen: ``clipbert_hf/training/scripts/multiple_choice.py``.
``clipbert train multiple_choice`` runs it too. Copy that file to change what happens.
"""

from clipbert_hf.training import run_script
from clipbert_hf.training.scripts.multiple_choice import main

__all__ = ["main"]

if __name__ == "__main__":
    run_script(main)
