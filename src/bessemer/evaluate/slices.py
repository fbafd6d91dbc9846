"""Slices of the test rows: by columns, and found by length, language, confidence and likeness.

Slices are made without a look at which answers are right; so the chance that one is as weak as it
looks by accident can be told, and corrected for how many were looked at.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bessemer.core.evaluation import Evaluate
from bessemer.core.report import Example, Measurement, Slice, cell_name
from bessemer.evaluate.examined import SHOWN, Examined
from bessemer.measures.comparison import holm
from bessemer.measures.intervals import Statistic, difference, effective_count
from bessemer.tasks.token_classification import IDEOGRAPHS

Mask = NDArray[np.bool_]
#: Values of one column that are looked at, the most frequent; and parts that numbers, lengths and
#: scores are divided into.
MOST_VALUES, PARTS = 100, 4
#: Clusters of like texts at most, and rows that one has at least on average.
MOST_CLUSTERS, ROWS_EACH = 20, 50
#: How often some slice may be called weak where none is: 8 times in 100 for what the slices are
#: of, and a quarter of that for their confidence. A weak slice that is missed costs more than one
#: that is looked at in vain.
CHANCE, BY_CONFIDENCE = 0.08, 0.25
#: How often mistakes are dealt out at random, and how often at once.
DEALT, DEALT_AT_ONCE = 2_000, 200
#: Rounds of k-means, and texts that the centres are found from.
ROUNDS, SAMPLED = 20, 4_000
#: Words that name a cluster, and the share of other texts in which a word may stand for that.
WORDS, COMMON = 3, 0.2
#: Words, or pairs of ideographs, which are mostly one.
_WORD = re.compile(rf"(?=([{IDEOGRAPHS}]{{2}}))|([^\W\d_{IDEOGRAPHS}]{{3,}})")


@dataclass(frozen=True)
class Candidate:
    """Rows that might be a weak slice."""

    name: str
    kind: Literal["column", "length", "language", "confidence", "cluster"]
    mask: Mask
    column: str | None = None
    value: str | None = None


def slices(
    examined: Examined, settings: Evaluate, vectors: NDArray[np.float32] | None
) -> tuple[list[Slice], dict[str, tuple[Example, ...]]]:
    """Return the slices, worst first, and wrongly answered texts of the weak ones by their names.

    Args:
        examined: The split.
        settings: Columns, whether slices are looked for, and the rows that one needs.
        vectors: Of the texts, shape [n, width], for clusters; or None.
    """
    candidates = list(_of_columns(examined, settings.slices))
    if settings.find_slices:
        candidates += [one for one in _found(examined, vectors) if not one.mask.all()]
    kept = _named([one for one in candidates if one.mask.sum() >= settings.least])
    chances = weakness(examined, kept)
    rows = [
        _slice(examined, one, p, weak=p <= CHANCE)
        for one, p in zip(kept, chances.tolist(), strict=True)
    ]
    rows.sort(key=lambda s: (s.difference.value if s.difference else 0.0, s.name))
    weak = {row.name for row in rows if row.weak}
    shown = {one.name: _examples(examined, one.mask) for one in kept if one.name in weak}
    return rows, shown


def _named(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates, of equal names all but the first with a number."""
    seen: Counter[str] = Counter()
    named = []
    for one in candidates:
        seen[one.name] += 1
        again = f" ({seen[one.name]})" if seen[one.name] > 1 else ""
        named.append(replace(one, name=one.name + again))
    return named


def weakness(examined: Examined, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """Return for each slice the chance of so low a value if it were like the rest, shape [slices].

    All slices are corrected for together: the chance is that of the lowest one of all that are no
    more striking, were the mistakes dealt out to the rows at random (Westfall & Young 1993,
    step-down). So slices that overlap count for fewer than as many that do not. Clusters cannot
    be dealt out so; with them it is Holm's correction (1979) of normal tests.

    Slices by confidence are held against the confidence itself, and corrected for by themselves
    and for being looked at as well: of unsure answers fewer are right, which is no weakness.
    """
    result = np.ones(len(candidates))
    by_score = np.array([one.kind == "confidence" for one in candidates], dtype=bool)
    masks = [one.mask for one in candidates]
    if by_score.any():
        promised = [_overconfidence(examined, mask) for mask in np.array(masks)[by_score]]
        result[by_score] = np.minimum(1.0, holm(np.array(promised)) / BY_CONFIDENCE)
    if not by_score.all():
        rest = np.array(masks)[~by_score]
        result[~by_score] = _corrected(examined, rest)
    return result


def _overconfidence(examined: Examined, mask: Mask) -> float:
    """Return the chance of so few right answers if the scores were true probabilities.

    As if all were equally sure: a binomial tail, which is no shorter than that of unequal ones.
    """
    from scipy.stats import binom

    right, sampling = examined.right[mask], examined.sampling.of(mask)
    count, promised = float(len(right)), min(float(examined.score[mask].mean()), 1.0)
    if sampling.clusters is not None:
        count = effective_count(right, sampling.clusters, sampling.confidence)
    return float(binom.cdf(round(right.mean() * count), round(count), promised))


def _corrected(examined: Examined, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    away, clusters = _away(examined), examined.sampling.clusters
    if clusters is not None:
        return holm(np.array([NormalDist().cdf(_z(away, one, clusters)) for one in masks]))
    weights = masks.astype(np.float64)
    if examined.task.answers_once:
        away = examined.right.astype(np.float64)
        chance = _by_fisher(away, masks)
    else:
        chance = _by_normal(away, masks)
    found = chance((weights @ away)[:, None])
    order = np.argsort(found[:, 0], kind="stable")
    generator = np.random.default_rng(examined.sampling.seed)
    reached, draws = np.ones(len(masks)), 0
    for _ in range(0, DEALT, DEALT_AT_ONCE):
        dealt = generator.permuted(np.tile(away, (DEALT_AT_ONCE, 1)), axis=1)
        drawn = chance(weights @ dealt.T)
        # Of each slice in its order, the lowest of it and all that are less striking.
        lowest = np.minimum.accumulate(drawn[order][::-1], axis=0)[::-1]
        reached[order] += (lowest <= found[order] * (1 + 1e-9)).sum(axis=1)
        draws += DEALT_AT_ONCE
    chances = reached / (draws + 1)
    chances[order] = np.maximum.accumulate(chances[order])
    return chances


def _by_fisher(right: NDArray[np.float64], masks: NDArray[np.bool_]) -> Statistic:
    """Return what tells the chance of so few right answers in each slice (Fisher's exact test)."""
    from scipy.special import gammaln

    size, total = len(right), int(right.sum())
    logs = gammaln(np.arange(size + 1) + 1.0)

    def ways(of: Any, some: Any) -> Any:
        return logs[of] - logs[some] - logs[of - some]

    tables = []
    for inside in masks.sum(axis=1).tolist():
        least, most = max(0, inside - (size - total)), min(inside, total)
        found = np.arange(least, most + 1)
        each = ways(total, found) + ways(size - total, inside - found) - ways(size, inside)
        tables.append((least, np.minimum(1.0, np.cumsum(np.exp(each)))))

    def chance(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        places = np.rint(sums).astype(np.int64)
        told = zip(tables, places, strict=True)
        return np.array([table[row - least] for (least, table), row in told])

    return chance


def _by_normal(away: NDArray[np.float64], masks: NDArray[np.bool_]) -> Statistic:
    """Return what tells the chance of so low a sum in each slice, if it is about normal."""
    size, inside = len(away), masks.sum(axis=1)
    scale = np.sqrt((away**2).sum() / max(1, size - 1) * inside * (size - inside) / size)
    # A slice of all rows is like the rest, of which there are none.
    scale = np.where(inside < size, np.maximum(scale, 1e-12), np.inf)[:, None]

    def chance(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.special import ndtr

        return np.asarray(np.where(np.isinf(scale), 1.0, ndtr(sums / scale)))

    return chance


def _away(examined: Examined) -> NDArray[np.float64]:
    """Return how much each row lifts the headline metric above its mean, shape [n], of mean 0.

    That is the influence of a row on a ratio of sums, F1 of its tallies: of tasks with one
    answer 1 or 0 less the accuracy.
    """
    hits, answered, actual = examined.tallies.T.astype(np.float64)
    above, below = 2 * hits, answered + actual
    if not below.sum():
        return np.zeros(len(above))
    return np.asarray((above - above.sum() / below.sum() * below) / below.mean())


def _z(away: NDArray[np.float64], mask: Mask, clusters: NDArray[np.int64]) -> float:
    """Return the difference of a slice and the rest in standard errors, clusters drawn whole."""
    if mask.all():
        return np.inf
    signed = np.where(mask, away / mask.sum(), -away / (~mask).sum())
    error = float(np.sqrt((np.bincount(clusters, weights=signed) ** 2).sum()))
    return float(signed.sum() / error) if error else 0.0


def _slice(examined: Examined, one: Candidate, p: float, *, weak: bool) -> Slice:
    metric = examined.headline(one.mask)
    gap: Measurement | None
    if one.kind == "confidence":
        promised = float(examined.score[one.mask].mean())
        gap = Measurement(
            name=f"{metric.name}_difference",
            value=metric.value - promised,
            low=metric.low - promised,
            high=metric.high - promised,
            count=metric.count,
            interval=metric.interval,
        )
    elif one.mask.all():
        gap = None
    else:
        gap = difference(f"{metric.name}_difference", metric, examined.headline(~one.mask))
    return Slice(
        name=one.name,
        kind=one.kind,
        column=one.column,
        value=one.value,
        metric=metric,
        difference=gap,
        p=p,
        weak=weak,
    )


def _examples(examined: Examined, mask: Mask) -> tuple[Example, ...]:
    """Return wrongly answered texts of a slice, the surest first."""
    wrong = np.flatnonzero(mask & ~examined.right)
    order = wrong[np.argsort(-examined.score[wrong], kind="stable")]
    return tuple(examined.example(int(row)) for row in order[:SHOWN])


def _of_columns(examined: Examined, columns: Sequence[str]) -> Iterator[Candidate]:
    for column in columns:
        cells = examined.columns[column]
        counts = values_of(cells)
        if counts is None:
            for low, high, mask in _parts(np.array(cells, dtype=np.float64)):
                told = f"{low:g} to {high:g}"
                yield Candidate(f"{column} {told}", "column", mask, column, told)
            continue
        names = np.array([cell_name(cell) for cell in cells], dtype=object)
        for value, _ in counts.most_common(MOST_VALUES):
            yield Candidate(f"{column} = {value}", "column", names == value, column, value)


def values_of(cells: Sequence[Any]) -> Counter[str] | None:
    """Return how often each value stands in a column, by its name.

    None where there are so many numbers that only parts of their range make slices.
    """
    numbers = _numbers(cells)
    if numbers is not None and len(np.unique(numbers)) > MOST_VALUES:
        return None
    return Counter(map(cell_name, cells))


def _numbers(values: Sequence[Any]) -> NDArray[np.float64] | None:
    """Return the cells as numbers, or None where one is none; CSV files hold texts."""
    try:
        numbers = np.array([float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def _parts(numbers: NDArray[np.float64]) -> Iterator[tuple[float, float, Mask]]:
    """Yield about equally large parts: least and largest number, and the mask."""
    edges = np.unique(np.quantile(numbers, np.arange(1, PARTS) / PARTS, method="lower"))
    places = np.searchsorted(edges, numbers)
    for part in np.unique(places):
        mask = places == part
        yield float(numbers[mask].min()), float(numbers[mask].max()), mask


def _found(examined: Examined, vectors: NDArray[np.float32] | None) -> Iterator[Candidate]:
    lengths = np.array([len(row) for row in examined.encoded.features], dtype=np.float64)
    for low, high, mask in _parts(lengths):
        yield Candidate(f"{low:.0f} to {high:.0f} tokens", "length", mask)
    if examined.task.answers_once:
        for low, high, mask in _parts(examined.score):
            yield Candidate(f"confidence {low:.3f} to {high:.3f}", "confidence", mask)
    yield from _languages(examined.encoded.texts)
    if vectors is not None:
        yield from _clusters(examined, vectors)


def _languages(texts: Sequence[str]) -> Iterator[Candidate]:
    import py3langid

    spoken = np.array([py3langid.classify(text[:1000])[0] for text in texts], dtype=object)
    for language, _ in Counter(spoken.tolist()).most_common(MOST_VALUES):
        yield Candidate(f"language {language}", "language", spoken == language)


def _clusters(examined: Examined, vectors: NDArray[np.float32]) -> Iterator[Candidate]:
    """Yield k-means clusters of the texts, named by the words that are typical of them."""
    count = min(MOST_CLUSTERS, len(vectors) // ROWS_EACH)
    if count < 2:
        return
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    seed = examined.sampling.seed
    chosen = np.random.default_rng(seed).permutation(len(vectors))[:SAMPLED]
    model = KMeans(count, n_init=1, max_iter=ROUNDS, random_state=seed)
    # Sums of several threads differ in their last bits.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        places = model.fit(vectors[np.sort(chosen)]).predict(vectors)
    names = typical_words(examined.encoded.texts, places, count)
    for number, words in enumerate(names):
        yield Candidate(f"cluster {number + 1}: {words}", "cluster", places == number)


def typical_words(texts: Sequence[str], places: NDArray[np.integer], count: int) -> list[str]:
    """Return the words that are most typical of each cluster, as "card, lost, stolen".

    By class-based tf-idf (Grootendorst 2022): how often a word's texts are in the cluster, times
    the logarithm of how rare it is elsewhere. Words of every fifth other text tell nothing.
    """
    inside = [Counter[str]() for _ in range(count)]
    for text, place in zip(texts, places.tolist(), strict=True):
        inside[place].update({a or b for a, b in _WORD.findall(text.lower())})
    everywhere = sum(inside, Counter[str]())
    mean = sum(everywhere.values()) / count
    found = []
    sizes = np.bincount(places, minlength=count).tolist()
    for counted, size in zip(inside, sizes, strict=True):
        most = COMMON * (len(texts) - size)
        words = Counter({w: n for w, n in counted.items() if everywhere[w] - n <= most})
        total = sum(words.values()) or 1

        def worth(word: str, words: Counter[str] = words, total: int = total) -> float:
            return float(words[word] / total * np.log(1 + mean / everywhere[word]))

        best = sorted(words, key=lambda word: (-worth(word), word))[:WORDS]
        found.append(", ".join(best) or "no words")
    return found
