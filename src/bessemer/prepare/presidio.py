"""Names of people, places and organisations in texts, which have no form: a model looks for them.

The model is a pipeline of spaCy, and Presidio puts what it finds under one name for each kind. It
is never downloaded here, and nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from bessemer.core import digest
from bessemer.core.errors import OperatorError, ProjectError, needs
from bessemer.prepare.pii import Found

#: Texts and characters that the model reads at once: a small one takes 3 KB for each.
AT_ONCE, MOST = 256, 100_000
#: Our names for Presidio's kinds.
KINDS = {"PERSON": "name", "LOCATION": "place", "ORGANIZATION": "organisation"}
#: What spaCy's models, each after the corpus it learnt from, call Presidio's kinds.
_LABELS = {
    label: kind
    for kind, labels in {
        "PERSON": "PERSON PER PRS PS persName",
        "LOCATION": "GPE LOC LOCATION FAC FACILITY GPE_LOC LC placeName geogName",
        "ORGANIZATION": "ORG ORGANIZATION GPE_ORG OG orgName",
    }.items()
    for label in labels.split()
}


class Model(NamedTuple):
    """A spaCy model: an installed package or a folder, and what tells it from its other states."""

    place: str
    version: str


def model_of(name: str, relative_to: Path | None) -> Model | None:
    """Return the model of a name, or None where there is none; no code of a model is run.

    Args:
        name: Of an installed package that offers a spaCy model, else of a folder that spaCy wrote.
        relative_to: Where a folder's path starts; None where it may be no folder.
    """
    for entry in entry_points(group="spacy_models", name=name):
        return Model(name, f"{name}@{entry.dist.version if entry.dist else ''}")
    if relative_to is None or not (relative_to / name / "meta.json").is_file():
        return None
    folder = (relative_to / name).resolve()
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return Model(str(folder), digest.of_folder(folder, files))


class Names:
    """Finds names with a model, which is loaded once.

    Raises:
        MissingExtraError: Presidio or spaCy is not installed.
        OperatorError: The model cannot be loaded.
        ProjectError: It knows no people, places or organisations.
    """

    def __init__(self, model: Model) -> None:
        with needs("presidio"):
            from presidio_analyzer import AnalyzerEngine, BatchAnalyzerEngine, RecognizerRegistry
            from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
            from presidio_analyzer.predefined_recognizers import SpacyRecognizer
        pipeline = _loaded(model)
        labels = {label for some in pipeline.pipe_labels.values() for label in some}
        if not labels & _LABELS.keys():
            raise ProjectError(
                f"prepare.pii_model: the model {model.place} names no people, places or"
                " organisations.",
                remedy="Name one with a component that does, as en_core_web_sm.",
            )
        self._pipeline, self._language = pipeline, str(pipeline.lang)
        settings = NerModelConfiguration(
            model_to_presidio_entity_mapping=_LABELS, labels_to_ignore=labels - _LABELS.keys()
        )
        engine = SpacyNlpEngine(ner_model_configuration=settings)
        # What has its pipeline is not told to load one: that would download what it misses.
        engine.nlp = {self._language: pipeline}
        # This recogniser only. Others look for public suffixes on the network.
        registry = RecognizerRegistry(
            [SpacyRecognizer(self._language, list(KINDS))], supported_languages=[self._language]
        )
        self._analyzer = BatchAnalyzerEngine(
            AnalyzerEngine(registry, engine, supported_languages=[self._language])
        )

    def find(self, texts: Iterable[str]) -> Iterator[list[Found]]:
        """Yield what is found in each text, in order."""
        for _, pieces in groupby(self._read(texts), key=itemgetter(0)):
            yield sorted(one for _, found in pieces for one in found)

    def _read(self, texts: Iterable[str]) -> Iterator[tuple[int, list[Found]]]:
        """Yield a text's number, and what is found in a piece of it."""
        for group in _groups(texts):
            # Words that are new to the model are forgotten, or a large table would fill memory.
            with self._pipeline.memory_zone():
                results = self._analyzer.analyze_iterator(
                    [piece.text for piece in group],
                    self._language,
                    batch_size=AT_ONCE,
                    entities=list(KINDS),
                )
            for piece, some in zip(group, results, strict=True):
                at = piece.start
                yield (
                    piece.number,
                    [Found(at + one.start, at + one.end, KINDS[one.entity_type]) for one in some],
                )


class _Piece(NamedTuple):
    """Of a text: the text's number, where it starts there, and the piece."""

    number: int
    start: int
    text: str


def _groups(texts: Iterable[str]) -> Iterator[list[_Piece]]:
    """Yield the pieces of all texts in groups that fit into memory."""
    group: list[_Piece] = []
    total = 0
    for piece in (piece for number, text in enumerate(texts) for piece in _pieces(number, text)):
        if group and (len(group) == AT_ONCE or total + len(piece.text) > MOST):
            yield group
            group, total = [], 0
        group.append(piece)
        total += len(piece.text)
    if group:
        yield group


def _pieces(number: int, text: str) -> Iterator[_Piece]:
    """Cut a long text, behind a sentence where there is one."""
    start = 0
    while (limit := start + MOST) < len(text):
        ends = (text.rfind(mark, start, limit) + 1 for mark in ("\n", ". ", "。", " "))
        end = next((end for end in ends if end > start), limit)
        yield _Piece(number, start, text[start:end])
        start = end
    yield _Piece(number, start, text[start:])


def _loaded(model: Model) -> Any:
    with needs("presidio"):
        import spacy
    try:
        return spacy.load(model.place)
    except Exception as error:  # a model is configuration and code of others
        raise OperatorError(
            f"prepare.pii_model: the model {model.place} cannot be loaded: {error}.",
            remedy=f"It must be made for spaCy {spacy.__version__}.",
        ) from error
