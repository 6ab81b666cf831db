"""The base of all loaders: files are checked first, then turned into typed rows by ``datasets``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import datasets
from datasets import DatasetInfo

from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.media import MediaFolder
from datasets_scripts.annotations.plan import LoadReport, Plan, SplitReport, Survey
from datasets_scripts.annotations.readable import find_unreadable
from datasets_scripts.annotations.survey_cache import kept_survey
from datasets_scripts.errors import DatasetError
from datasets_scripts.schemas import features, media_column

MissingPolicy = Literal["error", "drop"]
_SHOWN = 3


@dataclass
class AnnotationConfig(datasets.BuilderConfig):
    """Options that all data sets have; those of a data set are in a class of its own.

    Args:
        form: ``official`` or ``jsonl`` (the files released with the paper), where both are there.
    """

    form: Literal["auto", "official", "jsonl"] = "auto"


class AnnotationBuilder(datasets.GeneratorBasedBuilder):
    """Reads a data set from its annotation files.

    All annotations and file names are checked when the builder is made. The rows are kept in the cache of
    ``datasets`` under a hash of the annotation files' content, of where each video lies, of the options and of this
    code, so that they are never stale.

    Args:
        annotation_dir: The folder of the annotation files.
        media_dir: The folder of the videos or images, by default the same.
        config_name: The configuration, by default the first.
        missing: What to do if videos are missing: refuse, or drop their rows.
        check: Whether to open every video too; those that cannot be read are treated as missing.
        progress: Whether to show progress bars.
        cache_dir: Where to keep the rows.
        options: Fields of the configuration, then arguments of ``datasets.DatasetBuilder``.

    Attributes:
        report: What was read and what was dropped; also the description of the data set.

    Raises:
        DatasetError: Something is not as expected; file and line or key are named.
    """

    NAME: ClassVar[str]
    CONFIGS: ClassVar[tuple[str, ...]]
    BUILDER_CONFIG_CLASS = AnnotationConfig
    # Ten times the rows that are written at a time by default: whoever opens the file reads the head of each piece.
    DEFAULT_WRITER_BATCH_SIZE = 10_000

    def __init__(
        self,
        *,
        annotation_dir: str | os.PathLike[str],
        media_dir: str | os.PathLike[str] | None = None,
        config_name: str | None = None,
        missing: MissingPolicy = "error",
        check: bool = False,
        progress: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        if missing not in get_args(MissingPolicy):
            raise DatasetError(f"missing must be one of {', '.join(get_args(MissingPolicy))}, not {missing!r}")
        config = self.make_config(config_name, options)
        self.plan = self.make_plan(config, AnnotationFolder(annotation_dir))
        media = MediaFolder(annotation_dir if media_dir is None else media_dir, media_column(self.plan.schema))
        self._content = self._content_of(config)
        cache = datasets.config.HF_DATASETS_CACHE if cache_dir is None else cache_dir
        found = kept_survey(self.plan, media, Path(cache) / "clipbert_surveys" / f"{self._content}.json")
        unreadable = {}
        if check:
            paths = sorted(path for path in found.paths.values() if path is not None)
            unreadable = find_unreadable(paths, media.kind, progress=progress)
        self.report = self._report(config.name, found, media, unreadable)
        _apply_policy(self.report, missing)
        self._paths = {name: path for name, path in found.paths.items() if path is not None and path not in unreadable}
        super().__init__(
            cache_dir=None if cache_dir is None else str(cache_dir),
            config_name=config.name,
            hash=self._fingerprint(),
            **options,
        )

    @classmethod
    def make_config(cls, name: str | None, options: dict[str, Any]) -> AnnotationConfig:
        """The configuration of that name with these options.

        Raises:
            DatasetError: There is no such configuration or option.
        """
        name = cls.CONFIGS[0] if name is None else name
        if name not in cls.CONFIGS:
            raise DatasetError(f"{cls.NAME}: config must be one of {', '.join(cls.CONFIGS)}, not {name!r}")
        known = {field.name for field in fields(cls.BUILDER_CONFIG_CLASS)} - {
            field.name for field in fields(datasets.BuilderConfig)
        }
        unknown = sorted(set(options) - known)
        if unknown:
            raise DatasetError(f"{cls.NAME} has no option {unknown[0]!r}; there is {', '.join(sorted(known))}")
        config = cls.BUILDER_CONFIG_CLASS(name=name, **options)
        if config.form not in ("auto", "official", "jsonl"):
            raise DatasetError(f"form must be one of auto, official, jsonl, not {config.form!r}")
        return config

    @classmethod
    def make_plan(cls, config: Any, folder: AnnotationFolder) -> Plan:
        """Find the files of a configuration and say how to read them.

        Raises:
            DatasetError: A file is missing.
        """
        raise NotImplementedError

    def _report(self, config: str, found: Survey, media: MediaFolder, unreadable: dict[str, str]) -> LoadReport:
        splits = {split: found.report(split, unreadable) for split in self.plan.splits}
        notes = [*self.plan.notes, *media.notes(found.paths.values())]
        empty = [split for split, report in splits.items() if not report.rows and not report.dropped_rows]
        if empty:
            notes.append(f"without any row, and so left out: {', '.join(empty)}")
        return LoadReport(
            name=self.NAME,
            config=config,
            form=self.plan.form,
            files=[str(path) for path in self.plan.files],
            media_dir=str(media.folder),
            splits={split: report for split, report in splits.items() if split not in empty},
            notes=notes,
        )

    def _content_of(self, config: AnnotationConfig) -> str:
        """A hash of the annotation files, of how they are read, and of the code that does it."""
        digest = hashlib.blake2b(digest_size=16)
        options = {field.name: repr(getattr(config, field.name)) for field in fields(config)}
        plan = (self.NAME, self.plan.schema, self.plan.form, list(self.plan.splits), list(map(str, self.plan.files)))
        digest.update(hashlib.sha256(f"{plan} {sorted(options.items())}".encode()).digest())
        for path in (*self.plan.files, *_own_code()):
            if path.is_file():  # of one that is missing the reader tells
                digest.update(_content_hash(path))
        return digest.hexdigest()

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.report.summary(), self._content):
            digest.update(hashlib.sha256(part.encode()).digest())
        for name, where in self._paths.items():
            digest.update(hashlib.sha256(f"{name}\0{where}".encode()).digest())
        return digest.hexdigest()

    def _info(self) -> DatasetInfo:
        return DatasetInfo(description=self.report.summary(), features=features(self.plan.schema))

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name=split, gen_kwargs={"split": split}) for split in self.report.splits]

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        return enumerate(self._rows(split))

    def _rows(self, split: str) -> Iterator[dict[str, Any]]:
        column = media_column(self.plan.schema)
        for item in self.plan.splits[split]():
            path = self._paths.get(item.media)
            if path is not None and item.row is not None:
                yield {column: path, **item.row}

    def rows(self, split: str) -> RowReader:
        """The rows of a split, read from the files anew whenever they are iterated over."""
        return RowReader(self, split)


class RowReader:
    """Rows that can be iterated over again and again; see :meth:`AnnotationBuilder.rows`."""

    def __init__(self, builder: AnnotationBuilder, split: str) -> None:
        self._builder, self._split = builder, split

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._builder._rows(self._split)


def _own_code() -> list[Path]:
    """The data sets and what they are made of: every file that the rows can depend on."""
    here = Path(__file__).parent
    return sorted([*here.parent.glob("*.py"), *here.glob("*.py")])


def _content_hash(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def _apply_policy(report: LoadReport, missing: MissingPolicy) -> None:
    """Refuse what must not be loaded.

    Raises:
        DatasetError: Files are missing and the policy is to refuse, or a split would be empty.
    """
    if not report.splits:
        raise DatasetError(f"{report.name} {report.config}: {', '.join(report.files)} hold no annotation")
    gone = {split: _what_is_gone(found) for split, found in report.splits.items() if found.dropped_rows}
    empty = [split for split, found in report.splits.items() if not found.rows]
    listed = "; ".join(f"{split}: {what}" for split, what in gone.items())
    if empty:
        raise DatasetError(
            f"{report.name} {report.config}: nothing is left of {', '.join(empty)}, looking in {report.media_dir}. "
            f"{listed}"
        )
    if gone and missing == "error":
        raise DatasetError(
            f"{report.name} {report.config}: files are missing in {report.media_dir}. {listed}. missing='drop' leaves "
            "their rows out; `python -m datasets_scripts.check` lists them all"
        )


def _what_is_gone(found: SplitReport) -> str:
    parts = []
    if found.missing:
        named = ", ".join(f"{name} ({place})" for name, place in list(found.missing.items())[:_SHOWN])
        parts.append(f"{len(found.missing)} missing, such as {named}")
    if found.unreadable:
        path, reason = next(iter(found.unreadable.items()))
        parts.append(f"{len(found.unreadable)} unreadable, such as {path} ({reason})")
    return ", ".join(parts)
