"""Configuration of what is learned from: data sets, and how they are read."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from train.text.levels import TextRules, options_of


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A data set: a table `[[data.train]]` or `[data.dev]`, with one of the keys that name it.

    Attributes:
        path: file or folder, whose content tells its format.
        manifest, cuts, myrtle, shards, kaldi, folder, hf, parquet, archive, shar, tarred: the same, of that format.
        root: folder from which relative paths in it count; None: as the format has it.
        weight: how often an utterance comes, against 1: twice an epoch, or every second one.
    """

    path: str | None = None
    manifest: str | None = None
    cuts: str | None = None
    myrtle: str | None = None
    shards: str | None = None
    kaldi: str | None = None
    folder: str | None = None
    hf: str | None = None
    parquet: str | None = None
    shar: str | None = None
    tarred: str | None = None
    archive: str | None = None
    root: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if len(self._named()) != 1:
            keys = ", ".join(KEYS)
            raise ValueError(f"a data set wants one of {keys}; has {len(self._named())}")
        if not 0.0 < self.weight < math.inf:
            raise ValueError(f"a data set has weight {self.weight}, wants more than 0")

    def _named(self) -> list[tuple[str, str]]:
        named = ((key, getattr(self, key)) for key in KEYS)
        return [(key, value) for key, value in named if value is not None]

    @property
    def location(self) -> str:
        """The file or folder, as it is written."""
        return self._named()[0][1]

    @property
    def format(self) -> str | None:
        """The name of its format, or None: told by its content."""
        key = self._named()[0][0]
        return None if key == "path" else key


KEYS = tuple(name for name in Source.__struct_fields__ if name not in ("root", "weight"))


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is learned from.

    Attributes:
        train: data sets of the training set: paths, or tables (`Source`).
        dev: data set that chooses the checkpoint: a path, or a table without a weight.
        noise: folder of recordings without speech, or none.
        tokenizer: SentencePiece model. None: that of the model that the run starts from, or one of
            `pieces` pieces, which is made of the training set's texts.
        pieces: of a tokenizer that the run makes; a small corpus may give fewer.
        statistics: mel statistics, from `python -m train.mel_stats`, or Myrtle's folder with melmeans.pt and
            melvars.pt. None: those of the model that the run starts from, or measured on the training set.
        text: what is done to transcripts before they are spelt: nothing ("as-is"), or one of the rules of
            `train.text.levels`: "lower", "standard", "ascii", a language, a Python file, ...
        unknown: whether transcripts that the tokenizer cannot spell are refused, or allowed and learned
            as `<unk>`.
        min_seconds, max_seconds: of the utterances that are learned; None: as long as they are.
        cache: where decoded recordings are kept: in memory, all before the first update; on disk, each
            when it is first wanted; or nowhere. But for memory, batches come in epochs.
        cache_folder: for indexes and what is kept on disk; None: rill in the user's cache.
        on_error: whether an utterance that cannot be used ends the run or is left out and listed in
            RUN/skipped.txt, up to a share of all, `skip_share`.
        workers: processes that draw batches and compute their frames; 0: a thread draws. None: 2, and with the
            recordings in memory, which each process has a copy of, 0.
        synthetic: names of the corpora of the training set that are synthetic speech, for the provenance.
        license, language, author: provenance, carried into every exported model.
        knows: what the model can hear, in a few words of English, such as "digits and letters"; example:
            something to say to it. Both are carried into every exported model, and shown to who tries it.
    """

    train: tuple[str | Source, ...]
    dev: str | Source
    noise: str | None = None
    tokenizer: str | None = None
    pieces: int = 1023
    statistics: str | None = None
    text: TextRules = "as-is"
    unknown: Literal["refuse", "allow"] = "refuse"
    min_seconds: float = 0.0
    max_seconds: float | None = None
    cache: Literal["memory", "disk", "none"] = "memory"
    cache_folder: str | None = None
    on_error: Literal["refuse", "skip"] = "refuse"
    skip_share: float = 0.01
    workers: int | None = None
    synthetic: tuple[str, ...] = ()
    license: str = ""
    language: str = ""
    author: str = ""
    knows: str = ""
    example: str = ""

    def __post_init__(self) -> None:
        try:
            options_of(self.text)
        except ValueError as error:
            raise ValueError(f"data.text is {error}") from error
        if not 0.0 <= self.min_seconds < self.longest:
            raise ValueError(
                f"data.min_seconds is {self.min_seconds}, wants 0 or more, and less than max_seconds"
            )
        if not 0.0 <= self.skip_share <= 1.0:
            raise ValueError(f"data.skip_share is {self.skip_share}, wants 0 to 1")
        if self.pieces < 1:
            raise ValueError(f"data.pieces is {self.pieces}, wants at least 1")
        least = 0 if self.cache == "memory" else 1
        if self.workers is not None and self.workers < least:
            raise ValueError(f"data.workers is {self.workers}, wants at least {least}")
        if self.on_error == "skip" and self.cache == "memory":
            raise ValueError('data.on_error is "skip", wants data.cache = "disk" or "none"')

    @property
    def processes(self) -> int:
        """`workers`, or how many there are where it is None."""
        return (0 if self.cache == "memory" else 2) if self.workers is None else self.workers

    @property
    def longest(self) -> float:
        """`max_seconds` as a number."""
        return math.inf if self.max_seconds is None else self.max_seconds

    @property
    def sources(self) -> list[Source]:
        """`train` with every path as a table."""
        return [_source(each) for each in self.train]

    @property
    def dev_source(self) -> Source:
        """`dev` as a table."""
        return _source(self.dev)


def _source(data_set: str | Source) -> Source:
    return Source(path=data_set) if isinstance(data_set, str) else data_set
