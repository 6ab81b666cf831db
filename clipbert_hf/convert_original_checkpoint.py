"""Convert a published ClipBERT checkpoint to a folder that ``from_pretrained`` and the Hub load.

Run ``python -m clipbert_hf.convert_original_checkpoint --checkpoint X.pt --output DIR``, with ``--task`` where the
heads of the checkpoint fit several.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from datasets_scripts.annotations.command_line import Parser

from .errors import ClipBertError, InvalidInputError
from .model.configuration_clipbert import ClipBertConfig
from .model.modeling_clipbert import (
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
    ClipBertPreTrainedModel,
)
from .model.processing_clipbert import ClipBertProcessor
from .model.vision_names_clipbert import from_detectron2
from .model.weight_files_clipbert import read_state_dict

logger = logging.getLogger(__name__)

TASKS: dict[str, type[ClipBertPreTrainedModel]] = {
    "qa": ClipBertForVideoQuestionAnswering,
    "multiple-choice": ClipBertForMultipleChoice,
    "retrieval": ClipBertForVideoTextRetrieval,
    "regression": ClipBertForVideoRegression,
    "pretraining": ClipBertForPreTraining,
}

# The published retrieval and question answering models were trained with LogSumExp, but for FrameQA (mean).
_PUBLISHED_AGGREGATION = {"qa": "lse", "retrieval": "lse"}
_TIED_DECODER = "cls.predictions.decoder.weight"

_RESNETS = {(3, 4, 6, 3): "resnet50", (3, 4, 23, 3): "resnet101", (3, 8, 36, 3): "resnet152"}

# Parts of a published checkpoint that the model does not use: what is left of the detector whose CNN it took, and
# embeddings and buffers that its forward pass never reads.
_UNUSED = re.compile(
    r"cnn\.feature\.(proposal_generator|roi_heads|pixel_mean|pixel_std)\b"
    r"|transformer\.bert\.visual_embeddings\.position_embeddings\."
    r"|transformer\.bert\.embeddings\.position_ids$"
)

# (published name, our name); the first that matches the start is replaced.
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^cnn\.grid_encoder\.", "clipbert.grid_backbone.grid_encoder."),
    (r"^transformer\.bert\.", "clipbert."),
    (r"^transformer\.(classifier|regressor|cls)\.", r"\1."),
)
_CNN = "cnn.feature.backbone."


@dataclass(frozen=True)
class ConversionReport:
    """What became of the names of a checkpoint.

    Args:
        loaded: How many tensors the model took.
        dropped: Published names that the model has no use for, as expected.
    """

    loaded: int
    dropped: tuple[str, ...]


def rename_published(name: str) -> str | None:
    """Our name for a published parameter, or None if the model has no use for it.

    Example:
        >>> rename_published("cnn.feature.backbone.res3.0.conv1.norm.weight")
        'clipbert.grid_backbone.backbone.layer2.0.bn1.weight'
    """
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    if _UNUSED.match(name):
        return None
    of_cnn = from_detectron2(name.removeprefix(_CNN)) if name.startswith(_CNN) else None
    if of_cnn is not None:
        return f"clipbert.grid_backbone.backbone.{of_cnn}"
    for pattern, replacement in _RENAMES:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return name


def infer_task(state: Mapping[str, torch.Tensor]) -> str:
    """Tell the task of a published checkpoint from the shapes of its heads.

    A classifier of two outputs is that of retrieval, as published; open-ended question answering has hundreds.

    Args:
        state: Published names to tensors.

    Returns:
        One of :data:`TASKS`.

    Raises:
        InvalidInputError: If the heads are those of no task or of several, which the message names.
    """
    candidates: list[str] = []
    classifier = state.get("transformer.classifier.2.weight")
    if classifier is not None:
        by_outputs = {1: ["multiple-choice", "retrieval"], 2: ["retrieval"]}
        candidates += by_outputs.get(classifier.shape[0], ["qa"])
    if any(name.startswith("transformer.regressor.") for name in state):
        candidates.append("regression")
    if any(name.startswith("transformer.cls.") for name in state):
        candidates.append("pretraining")
    if not candidates:
        raise InvalidInputError("this is no ClipBERT checkpoint: it has none of the heads of " + ", ".join(TASKS))
    if len(candidates) > 1:
        why = ", whose heads have equal shapes" if classifier is not None and len(candidates) == 2 else ""
        raise InvalidInputError(f"the checkpoint may be of {' or '.join(candidates)}{why}: say which, as --task")
    return candidates[0]


def infer_config(
    state: Mapping[str, torch.Tensor],
    task: str,
    *,
    num_attention_heads: int | None = None,
    score_aggregation: str | None = None,
) -> ClipBertConfig:
    """Read the sizes of a model from the shapes in a published checkpoint.

    Args:
        state: Published names to tensors.
        task: One of :data:`TASKS`.
        num_attention_heads: The one size that no shape shows; by default one head for each 64 of the hidden size.
        score_aggregation: ``mean``, ``max`` or ``lse``, as the checkpoint was trained. By default that of most
            published models of the task: ``lse`` for qa (but FrameQA: ``mean``) and retrieval, ``mean`` for the others.

    Raises:
        InvalidInputError: If a tensor that shows a size is missing, or the CNN is no ResNet of bottlenecks.
    """

    def shape(name: str) -> torch.Size:
        if name not in state:
            raise InvalidInputError(f"this is no ClipBERT checkpoint: it lacks {name!r}")
        return state[name].shape

    def count(pattern: str) -> int:
        return len({match.group(1) for match in map(re.compile(pattern).match, state) if match})

    embeddings = "transformer.bert.embeddings."
    vocab_size, hidden_size = shape(f"{embeddings}word_embeddings.weight")
    blocks = tuple(count(rf"cnn\.feature\.backbone\.res{stage}\.(\d+)\.") for stage in (2, 3, 4, 5))
    if blocks not in _RESNETS:
        raise InvalidInputError(f"the CNN must have the blocks of one of {_RESNETS}; the checkpoint has {blocks}")
    heads = num_attention_heads or max(hidden_size // 64, 1)
    options: dict = {}
    if task in ("qa", "retrieval"):
        outputs = shape("transformer.classifier.2.weight")[0]
        options = {"num_labels": outputs} if task == "qa" else {}
        if task == "retrieval" and outputs == 1:
            options["retrieval_loss"] = "rank"
    if task == "pretraining":
        # Some writers leave a tied decoder out.
        decoder = state.get(f"transformer.{_TIED_DECODER}")
        tied = decoder is None or torch.equal(state[f"{embeddings}word_embeddings.weight"], decoder)
        options["tie_word_embeddings"] = tied
    aggregation = score_aggregation or _PUBLISHED_AGGREGATION.get(task)
    if aggregation is not None:
        options["score_aggregation"] = aggregation
    return ClipBertConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=count(r"transformer\.bert\.encoder\.layer\.(\d+)\."),
        num_attention_heads=heads,
        intermediate_size=shape("transformer.bert.encoder.layer.0.intermediate.dense.weight")[0],
        max_position_embeddings=shape(f"{embeddings}position_embeddings.weight")[0],
        type_vocab_size=shape(f"{embeddings}token_type_embeddings.weight")[0],
        max_grid_row_position_embeddings=shape("transformer.bert.visual_embeddings.row_position_embeddings.weight")[0],
        max_grid_col_position_embeddings=shape("transformer.bert.visual_embeddings.col_position_embeddings.weight")[0],
        backbone=_RESNETS[blocks],
        backbone_stride_in_1x1=True,
        **options,
    )


def load_published_state(model: ClipBertPreTrainedModel, state: Mapping[str, torch.Tensor]) -> ConversionReport:
    """Put the tensors of a published checkpoint into a model.

    Raises:
        InvalidInputError: If names are unexpected or missing, which the message lists, or a shape differs.
    """
    ours = model.state_dict()
    renamed = {rename_published(name): name for name in state}
    dropped = tuple(sorted(name for name in state if rename_published(name) is None))
    renamed.pop(None, None)
    unexpected = sorted(published for name, published in renamed.items() if name not in ours)
    # The published batch norms are frozen and count no batches; a tied decoder may be left out of a checkpoint.
    optional = ("num_batches_tracked", "decoder.bias", *([_TIED_DECODER] if model.config.tie_word_embeddings else []))
    missing = sorted(name for name in ours if name not in renamed and not name.endswith(optional))
    if unexpected or missing:
        raise InvalidInputError(
            f"the checkpoint does not fit {type(model).__name__} (is --task right?): "
            f"unexpected names: {', '.join(unexpected) or 'none'}; missing names: {', '.join(missing) or 'none'}"
        )
    try:
        model.load_state_dict({name: state[published] for name, published in renamed.items()}, strict=False)
    except RuntimeError as error:
        raise InvalidInputError(f"the checkpoint does not fit {type(model).__name__}: {error}") from error
    return ConversionReport(loaded=len(renamed), dropped=dropped)


def convert(
    checkpoint: str | Path,
    task: str | None,
    output: str | Path,
    *,
    num_attention_heads: int | None = None,
    score_aggregation: str | None = None,
    vocab: str | Path = "google-bert/bert-base-uncased",
    answers: str | Path | None = None,
    size: int = 448,
) -> ConversionReport:
    """Convert a checkpoint and write the folder: configuration, weights, processor and the code for the Hub.

    Args:
        checkpoint: The published ``.pt`` file; only tensors are read from it, never code.
        task: One of :data:`TASKS`. None: told by :func:`infer_task`, or ``qa`` if there are answers.
        output: The folder to write.
        num_attention_heads: See :func:`infer_config`.
        score_aggregation: See :func:`infer_config`.
        vocab: The tokenizer: a ``vocab.txt``, a folder or a Hub id.
        answers: For ``qa``: the JSON file of its labels: ``{answer: index}`` (``ans2label``), ``{index: answer}``, or a
            list of answers in order (``label2ans``).
        size: Longer side of the frames in pixels, as the checkpoint was trained.

    Raises:
        InvalidInputError: If a file does not hold what is expected of it.
    """
    if task is not None and task not in TASKS:
        raise InvalidInputError(f"task must be one of {', '.join(TASKS)}; got {task!r}")
    if Path(output).is_file():
        raise InvalidInputError(f"output must be a folder; {output} is a file")
    state = read_state_dict(checkpoint)
    if task is None:
        task = "qa" if answers is not None else infer_task(state)
        logger.info(
            "task: %s, %s", task, "since answers are given" if answers is not None else "by the shapes of heads"
        )
    config = infer_config(state, task, num_attention_heads=num_attention_heads, score_aggregation=score_aggregation)
    if answers is not None:
        if task != "qa":
            raise InvalidInputError(f"answers belong to the task qa; got {answers} for {task}")
        config.label2id, config.id2label = _read_answers(Path(answers), config.num_labels)
    model = TASKS[task](config).eval()
    report = load_published_state(model, state)
    model.save_pretrained(output)
    _save_processor(Path(output), vocab, size=size, vocab_size=config.vocab_size)
    return report


def _save_processor(output: Path, vocab: str | Path, *, size: int, vocab_size: int) -> None:
    try:
        processor = ClipBertProcessor.from_pretrained_parts(text=vocab, size={"longest_edge": size})
        if len(processor.tokenizer) != vocab_size:
            raise InvalidInputError(f"it has {len(processor.tokenizer)} tokens; the checkpoint needs {vocab_size}")
    except InvalidInputError as error:
        # The weights are worth keeping: without a network the default tokenizer cannot be had, and can be added later.
        raise InvalidInputError(
            f"the model is written to {output}, its processor is not: --vocab must be the vocab.txt, folder or Hub id "
            f"of its tokenizer, and {vocab} is not: {error}"
        ) from error
    processor.save_pretrained(output)


def _read_answers(path: Path, num_labels: int) -> tuple[dict[str, int], dict[int, str]]:
    """Labels of answers, and answers of labels, in any of the forms that the data sets' label files have."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if isinstance(content, list):
            content = dict(enumerate(content))
        if content and all(isinstance(value, str) for value in content.values()):
            pairs = [(answer, int(index)) for index, answer in content.items()]
        else:
            pairs = [(str(answer), int(index)) for answer, index in content.items()]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InvalidInputError(
            f"{path} must be a JSON object of answers to indices or of indices to answers, or a list of answers: "
            f"{error}"
        ) from error
    repeated = [answer for answer, count in Counter(answer for answer, _ in pairs).items() if count > 1]
    if repeated:
        raise InvalidInputError(f"{path} must name each answer once; it repeats {', '.join(repeated[:5])}")
    if sorted(index for _, index in pairs) != list(range(num_labels)):
        raise InvalidInputError(f"{path} must map {num_labels} answers to 0 … {num_labels - 1}; got {len(pairs)}")
    return dict(pairs), {index: answer for answer, index in pairs}


def main(
    arguments: Sequence[str] | None = None, program: str = "python -m clipbert_hf.convert_original_checkpoint"
) -> None:
    """Run the command line, under the name that its help gives it."""
    parser = Parser(prog=program, description=__doc__)
    parser.add_argument("--checkpoint", required=True, type=Path, help="the published .pt file")
    parser.add_argument("--task", choices=sorted(TASKS), help="default: told from the checkpoint")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    parser.add_argument("--num_attention_heads", type=int, help="default: one for each 64 of the hidden size")
    parser.add_argument(
        "--score_aggregation",
        choices=("mean", "max", "lse"),
        help="as it was trained; default: lse for qa (FrameQA: give mean) and retrieval, mean for the others",
    )
    parser.add_argument(
        "--vocab", default="google-bert/bert-base-uncased", help="vocab.txt, tokenizer folder or Hub id"
    )
    parser.add_argument("--answers", type=Path, help="ans2label or label2ans JSON file of question answering")
    parser.add_argument("--size", type=int, default=448, help="longer side of the frames (pixels)")
    options = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        report = convert(options.pop("checkpoint"), options.pop("task"), options.pop("output"), **options)
    except ClipBertError as error:
        parser.exit(2, f"error: {error}\n")
    logger.info("loaded %d tensors; missing: none; unexpected: none", report.loaded)
    logger.info("dropped %d names that the model does not use:", len(report.dropped))
    for name in report.dropped:
        logger.info("  %s", name)


if __name__ == "__main__":
    main()
