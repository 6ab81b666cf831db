"""Where a model starts: a model folder or Hub id, parts from timm and the BERT family, or random weights."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import timm
import torch
from accelerate import PartialState
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from transformers import BertTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..model.configuration_clipbert import ClipBertConfig
from ..model.pretrained_parts_clipbert import pixel_statistics
from ..model.processing_clipbert import ClipBertProcessor
from ..model.video_processing_clipbert import ClipBertVideoProcessor
from .data.row_tables import Row
from .data.rows import as_rows
from .data.splits import load_source
from .recipe import DataSettings, RecipeError, StartSettings
from .recipe_parsing import check_keys

Model = TypeVar("Model", bound=PreTrainedModel)
_MAX_TEXT_LENGTH = 100


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
        RecipeError: If an option has an unknown name; if a tokenizer is to be made, and there is no text to make it of;
            or if a part is to come from the Hub, which cannot be reached.
    """
    check_reachable(start)
    check_keys(data.processor, ClipBertVideoProcessor.valid_kwargs.__annotations__, name="processor")
    options = {**data.processor, "num_clips": num_clips}
    if start.start_from is not None:
        processor = ClipBertProcessor.from_pretrained(start.start_from)
        for name, value in options.items():
            setattr(processor.video_processor, name, value)
        if data.max_text_length is not None:
            processor.max_text_length = data.max_text_length
        return processor
    max_text_length = _MAX_TEXT_LENGTH if data.max_text_length is None else data.max_text_length
    backbone = start.model.get("backbone")
    if start.text is not None:
        return ClipBertProcessor.from_pretrained_parts(
            text=start.text,
            vision=start.vision,
            backbone=backbone,
            max_text_length=max_text_length,
            **options,
        )
    if start.vision is not None:
        mean, std = pixel_statistics(start.vision, backbone)
        options = {"image_mean": mean, "image_std": std, **options}
    texts = [*texts_of(rows)]
    for config in start.vocabulary_configs:
        texts += texts_of(load_source(data, config, streaming=data.streaming).get("train", as_rows([])))
    if not texts:
        raise RecipeError(
            f"without start_from or text, the words of a new model are those of the split 'train', and data set "
            f"{data.dataset} in {data.data_dir} has none"
        )
    tokenizer = train_tokenizer(texts, start.vocabulary_size)
    return ClipBertProcessor(ClipBertVideoProcessor(**options), tokenizer, max_text_length=max_text_length)


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
    *,
    trains: bool = True,
) -> Model:
    """Load or make the model; draw from a seeded generator of torch, since new parts are random.

    Of a loaded model the head stays if it is one of the same task; with ``labels`` its outputs are carried over by
    their names, and only outputs for new names are new. What became of the head is said.

    Args:
        model_class: One of the package's models.
        start: The start point.
        processor: Its tokenizer gives a new model's vocabulary size.
        labels: Names of the outputs.
        trains: Whether the model is going to be trained; otherwise nothing of its head may be new.

    Raises:
        RecipeError: If the model's settings have an unknown key, or if a head would be new and is not to be trained.
    """
    model = _create_model(model_class, start, processor, labels, trains)
    if trains:
        model.config.calibration_temperature = 1.0  # what was found for other weights says nothing of these
    for name, parameter in model.named_parameters():
        if any(_FROZEN[part] in name for part in start.frozen):
            parameter.requires_grad_(False)
    return model


# What stands in the names of a part's parameters.
_FROZEN = {
    "cnn": "grid_backbone.backbone.",
    "grid_features": "grid_backbone.",
    "word_embeddings": "embeddings.word_embeddings.",
}


def _create_model(
    model_class: type[Model],
    start: StartSettings,
    processor: ClipBertProcessor,
    labels: list[str] | None,
    trains: bool,
) -> Model:
    check_keys(start.model, {entry.name for entry in dataclasses.fields(ClipBertConfig)}, name="model")
    options: dict[str, Any] = dict(start.model)
    if options.get("contrastive_size"):
        options = {**_token_ids(processor), **options}
    if labels is not None:
        options["id2label"] = dict(enumerate(labels))
        options["label2id"] = {label: index for index, label in enumerate(labels)}
    if start.start_from is not None:
        if start.vision is not None or start.text is not None:
            raise RecipeError("give either start_from, or vision and text; got both")
        return _load_model(model_class, start.start_from, options, trains)
    if not trains:
        raise RecipeError("without training, start_from must name the model to evaluate; got none")
    if start.vision is None and start.text is None:
        # As from_pretrained_parts has it: what is frozen of a published CNN would stay random here.
        options = {"freeze_batch_norm": False, "freeze_backbone_stages": 0} | options
        return model_class(ClipBertConfig(vocab_size=len(processor.tokenizer), **options))
    if start.text is None:
        options["vocab_size"] = len(processor.tokenizer)
    return model_class.from_pretrained_parts(vision=start.vision, text=start.text, **options)


def _load_model(model_class: type[Model], name: str, options: dict[str, Any], trains: bool) -> Model:
    saved = ClipBertConfig.from_pretrained(name)
    config = ClipBertConfig.from_pretrained(name, **options)
    load = partial(model_class.from_pretrained, name, dtype=torch.float32, ignore_mismatched_sizes=True)
    model, loaded = load(config=config, output_loading_info=True)
    # A contrastive head is the same in several tasks.
    heads = [
        part for part, _ in model.named_children() if part not in (model.base_model_prefix, "dropout", _CONTRASTIVE)
    ]
    absent = {key for kind in ("missing_keys", "mismatched_keys") for key in map(_key_of, loaded[kind])}
    news = ["the contrastive head is new"] if any(key.startswith(f"{_CONTRASTIVE}.") for key in absent) else []
    is_same_task = saved.architectures == [model_class.__name__]
    if is_same_task and "label2id" in options and saved.label2id != config.label2id:
        news.insert(0, _carry_over(model, load(config=saved), saved.label2id, config.label2id))
    elif not is_same_task or any(key.split(".")[0] in heads for key in absent):
        # What has the name and the shape of a head may have been one of another task.
        fresh = model_class(config)
        for part in heads:
            getattr(model, part).load_state_dict(getattr(fresh, part).state_dict())
        news.insert(0, "the head is new")
    if not news:
        return model
    what = ", ".join(news)
    if not trains:
        raise RecipeError(
            f"without training, start_from must be a {model_class.__name__} as it is to be evaluated; of {name}, a "
            f"{(saved.architectures or ['model without a name'])[0]}, {what}"
        )
    if PartialState().is_main_process:
        sys.stderr.write(f"{model_class.__name__} from {name}: {what}\n")
    return model


_CONTRASTIVE = "contrastive"


def _token_ids(processor: ClipBertProcessor) -> dict[str, int]:
    """What a contrastive head gives a clip for a text."""
    return {name: getattr(processor.tokenizer, name) for name in ("cls_token_id", "sep_token_id")}


def _key_of(entry: Any) -> str:
    """The name of a parameter in a list of what loading did; of mismatched ones it stands before the shapes."""
    return entry if isinstance(entry, str) else entry[0]


def _carry_over(model: Any, old: Any, before: dict[str, int], now: dict[str, int]) -> str:
    """Give the outputs of a classifier the weights that they had under the same names; says how many there are."""
    fresh = type(model)(model.config).classifier
    known = [label for label in now if label in before]
    old_places, places = ([labels[label] for label in known] for labels in (before, now))
    with torch.no_grad():
        for name, parameter in model.classifier.named_parameters():
            source = old.classifier.get_parameter(name)
            if not name.startswith("2."):  # the last layer's rows are the outputs
                parameter.copy_(source)
                continue
            parameter.copy_(fresh.get_parameter(name))
            parameter[places] = source[old_places]
    dropped = len(before) - len(known)
    return f"{len(known)} answers carried over, {len(now) - len(known)} new, {dropped} dropped"


_REACHABLE_BY = ("config.json", "model.safetensors", "pytorch_model.bin")


def check_reachable(start: StartSettings) -> None:
    """Find out in a few seconds whether the parts of a start point can be had, for which transformers tries a minute.

    Raises:
        RecipeError: If one is neither on this machine nor on a Hub that answers.
    """
    _require(start.start_from, "start_from", "a folder that a run has saved")
    _require(start.text, "text", "a folder with a BERT and its tokenizer, or --text null for a new one")
    vision = start.vision
    if vision is not None and not os.path.exists(vision) and "/" not in vision and timm.is_model(vision.split(".")[0]):
        vision = timm.get_pretrained_cfg(vision).hf_hub_id or f"timm/{vision}"
    _require(vision, "vision", "a folder or file of weights, or --vision null for a CNN with random weights")


def _require(name: str | None, setting: str, alternative: str) -> None:
    if name is None or os.path.exists(name):
        return
    try:
        if all(try_to_load_from_cache(name, file) is None for file in _REACHABLE_BY):
            get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=5)
    except Exception as error:  # of the network, the Hub or the name, in many classes
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RecipeError(
            f"{setting}: there is no folder {name}, and it cannot be had from the Hub ({reason}); give {alternative}"
        ) from error


def is_cnn_parameter(name: str) -> bool:
    """Whether a parameter of a ClipBERT model belongs to its vision side, CNN and grid encoder."""
    return "grid_backbone." in name
