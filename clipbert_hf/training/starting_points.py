"""Where a model starts: a model folder or Hub id, parts from timm and the BERT family, or random weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from transformers import BertTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..model.configuration_clipbert import ClipBertConfig
from ..model.pretrained_parts_clipbert import pixel_statistics
from ..model.processing_clipbert import ClipBertProcessor
from ..model.video_processing_clipbert import ClipBertVideoProcessor
from .data.splits import Row, load_source
from .recipe import DataSettings, RecipeError, StartSettings
from .recipe_parsing import check_keys

Model = TypeVar("Model", bound=PreTrainedModel)


def create_processor(
    start: StartSettings, data: DataSettings, rows: Iterable[Row], *, num_clips: int
) -> ClipBertProcessor:
    """Load the processor of the start point, or make one.

    Args:
        start: The start point.
        data: Options of the video processor, and the longest text.
        rows: Training rows; their texts make the tokenizer of a new model.
        num_clips: How many clips the saved processor samples for inference.

    Raises:
        RecipeError: If a tokenizer is to be made, and there is no text to make it of.
    """
    options = {**data.processor, "num_clips": num_clips}
    if start.start_from is not None:
        processor = ClipBertProcessor.from_pretrained(start.start_from)
        for name, value in options.items():
            setattr(processor.video_processor, name, value)
        processor.max_text_length = data.max_text_length
        return processor
    backbone = start.model.get("backbone")
    if start.text is not None:
        return ClipBertProcessor.from_pretrained_parts(
            text=start.text,
            vision=start.vision,
            backbone=backbone,
            max_text_length=data.max_text_length,
            **options,
        )
    if start.vision is not None:
        mean, std = pixel_statistics(start.vision, backbone)
        options = {"image_mean": mean, "image_std": std, **options}
    texts = [*texts_of(rows)]
    for config in start.vocabulary_configs:
        texts += texts_of(load_source(data, config).get("train", []))
    if not texts:
        raise RecipeError(
            f"without start_from or text, the words of a new model are those of the split 'train', and data set "
            f"{data.dataset} in {data.data_dir} has none"
        )
    tokenizer = train_tokenizer(texts, start.vocabulary_size)
    return ClipBertProcessor(ClipBertVideoProcessor(**options), tokenizer, max_text_length=data.max_text_length)


def texts_of(rows: Iterable[Row]) -> Iterator[str]:
    """Every text of rows in the project's schemas."""
    for row in rows:
        for name in ("caption", "question", "answer", "options", "hard_negatives"):
            value = row.get(name)
            if isinstance(value, str):
                yield value
            elif isinstance(value, list):
                yield from value


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> PreTrainedTokenizerBase:
    """Make a BERT tokenizer whose word pieces come from texts; frequent words are one piece each.

    Equal texts give equal tokenizers: in each of several processes, and in a run that resumes.

    Args:
        texts: Training texts.
        vocabulary_size: Most word pieces, the five special tokens included.
    """
    empty, texts = BertTokenizer(), list(texts)
    normalize, split = empty.backend_tokenizer.normalizer, empty.backend_tokenizer.pre_tokenizer
    words = (word for text in set(texts) for word, _ in split.pre_tokenize_str(normalize.normalize_str(text)))
    inner = sorted({letter for word in words for letter in word[1:]})
    # The trainer numbers these pieces in the order of a hash table, anew each time, unless they are there already; and
    # among pairs of pieces that are equally frequent it takes the one with the lowest numbers.
    trained = empty.train_new_from_iterator(
        texts, vocabulary_size, new_special_tokens=[f"##{letter}" for letter in inner], show_progress=False
    )
    return BertTokenizer(vocab=trained.get_vocab())


def create_model(
    model_class: type[Model],
    start: StartSettings,
    processor: ClipBertProcessor,
    labels: list[str] | None = None,
) -> Model:
    """Load or make the model; draw from a seeded generator of torch, since new parts are random.

    Args:
        model_class: One of the package's models.
        start: The start point.
        processor: Its tokenizer gives a new model's vocabulary size.
        labels: Names of the outputs. A loaded head stays only if it has the same ones.

    Raises:
        RecipeError: If the model's settings have an unknown key.
    """
    model = _create_model(model_class, start, processor, labels)
    for name, parameter in model.named_parameters():
        if any(_FROZEN[part] in name for part in start.frozen):
            parameter.requires_grad_(False)
    return model


# What stands in the names of a part's parameters. The grid encoder after the CNN trains in any case.
_FROZEN = {"cnn": "grid_backbone.backbone.", "word_embeddings": "embeddings.word_embeddings."}


def _create_model(
    model_class: type[Model], start: StartSettings, processor: ClipBertProcessor, labels: list[str] | None
) -> Model:
    check_keys(start.model, {entry.name for entry in dataclasses.fields(ClipBertConfig)}, name="model")
    options: dict[str, Any] = dict(start.model)
    if labels is not None:
        options["id2label"] = dict(enumerate(labels))
        options["label2id"] = {label: index for index, label in enumerate(labels)}
    if start.start_from is not None:
        if start.vision is not None or start.text is not None:
            raise RecipeError("give either start_from, or vision and text; got both")
        return _load_model(model_class, start.start_from, options)
    if start.vision is None and start.text is None:
        return model_class(ClipBertConfig(vocab_size=len(processor.tokenizer), **options))
    if start.text is None:
        options["vocab_size"] = len(processor.tokenizer)
    return model_class.from_pretrained_parts(vision=start.vision, text=start.text, **options)


def _load_model(model_class: type[Model], name: str, options: dict[str, Any]) -> Model:
    saved = ClipBertConfig.from_pretrained(name)
    config = ClipBertConfig.from_pretrained(name, **options)
    model = model_class.from_pretrained(name, config=config, dtype=torch.float32, ignore_mismatched_sizes=True)
    same_head = saved.architectures == [model_class.__name__] and saved.label2id == config.label2id
    if "label2id" in options and not same_head:
        # Outputs that happen to be as many as before would keep the weights of other labels.
        model.classifier.load_state_dict(model_class(config).classifier.state_dict())
    return model


def is_cnn_parameter(name: str) -> bool:
    """Whether a parameter of a ClipBERT model belongs to its vision side, CNN and grid encoder."""
    return "grid_backbone." in name
