"""A language encoder that has seen texts alone: masked words of captions and questions, by transformers' own BERT."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling, set_seed

from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.recipe import DataSettings
from clipbert_hf.training.starting_points import texts_of, train_tokenizer

# Of the demo's encoder.
SIZES = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512}
SIZES |= {"max_position_embeddings": 32}
# As in the recipe of the pre-training.
_LEARNING_RATE, _WEIGHT_DECAY, _WARMUP, _MASKED = 5e-4, 0.01, 0.06, 0.5


def train_language(data: Path, output: Path, *, seed: int, steps: int, batch: int, configs: tuple[str, ...]) -> float:
    """Train it and save it with its tokenizer.

    Args:
        data: A folder of the embedded data set.
        output: For the encoder.
        seed: Of weights, order and masks.
        steps: Optimizer steps.
        batch: Texts a step.
        configs: Configurations whose training texts make the tokenizer.

    Returns:
        Seconds.
    """
    set_seed(seed)
    source = DataSettings(data_dir=str(data))
    texts = {config: [*texts_of(load_splits(source, config)["train"])] for config in configs}
    tokenizer = train_tokenizer([text for some in texts.values() for text in some], 1000)
    # hidden_dropout and the width of random weights as in the recipe.
    config = BertConfig(
        vocab_size=len(tokenizer),
        initializer_range=0.08,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **SIZES,
    )
    model = BertForMaskedLM(config).train()
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=_MASKED)
    sentences = sorted({text for some in texts.values() for text in some})
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=_WEIGHT_DECAY)
    warmup = max(round(_WARMUP * steps), 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(steps - warmup, 1))
    )
    start = time.perf_counter()
    for _ in range(steps):
        places = torch.randint(len(sentences), (batch,)).tolist()
        encoded = [tokenizer(sentences[place], truncation=True, max_length=24) for place in places]
        loss = model(**collate(encoded)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    return time.perf_counter() - start
