"""MinHash signatures of texts and the pairs that they make probable (Broder 1997; LSH Forest).

Written out because kept libraries hand signatures over as Python lists, five times slower than
making them, and tell that a text has a near duplicate but not which; see decision 0021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bessemer.prepare.rows import placed

#: Characters of a shingle; hashes of a signature; those that one tree sorts by.
GRAM, HASHES, DEPTH = 3, 64, 4
#: In a tree, texts whose first `SHARED` hashes are equal are compared with their next `WINDOW`.
SHARED, WINDOW = 2, 3
#: Share of equal hashes, an estimate of the shingles' Jaccard index, that makes a pair probable:
#: texts of four words of which one was mistyped have 0.6.
PROBABLE = 0.5
#: Of one bit of each hash, as many may differ before a pair is looked at closer. At the index
#: `PROBABLE` a quarter do, so that fewer than one in fifty pairs is lost.
MOST_BITS = 24
#: Where there are more pairs than this for each text, the least probable are forgotten: texts of
#: one pattern would be paired with one another by the million.
MOST_PARTNERS = 8
#: Texts that are hashed at once so that all of it stays in a core's cache.
TOGETHER = 512

Signatures = NDArray[np.uint16]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts by their places, the first before the second; shapes [pairs]."""

    firsts: Places
    seconds: Places
    #: Estimated Jaccard index.
    likeness: NDArray[np.float32]


def signatures(texts: pa.ChunkedArray, tell: Callable[[int], None]) -> Signatures:
    """Return the signature of each text, shape [texts, `HASHES`].

    Args:
        texts: Strings, none of them null.
        tell: Is told how many texts are done, from time to time.
    """
    found = np.empty((len(texts), HASHES), dtype=np.uint16)
    multipliers = np.random.default_rng(0).integers(0, 2**31, HASHES, dtype=np.uint32) * 2 + 1
    table = pa.table({"text": texts})

    def one(part: tuple[int, pa.RecordBatch]) -> int:
        start, batch = part
        lines = pc.utf8_lower(batch["text"]).to_pylist()
        for at in range(0, len(lines), TOGETHER):
            some = lines[at : at + TOGETHER]
            found[start + at : start + at + len(some)] = _signed(some, multipliers)
        done: int = start + batch.num_rows
        return done

    # numpy lets go of Python's lock; a few parts ahead, so that few are in memory.
    with ThreadPoolExecutor() as threads:
        parts = placed(table)
        while some := list(islice(parts, 8)):
            tell(list(threads.map(one, some))[-1])
    return found


def _signed(texts: list[str], multipliers: NDArray[np.uint32]) -> Signatures:
    shingles, starts = _shingles(texts)
    product = np.empty_like(shingles)
    least = np.empty((HASHES, len(texts)), dtype=np.uint32)
    for multiplier, row in zip(multipliers, least, strict=True):
        np.multiply(shingles, multiplier, out=product)
        np.minimum.reduceat(product, starts, out=row)
    # The low bits: the least of many products begins with zeros.
    return least.T.astype(np.uint16)


def _shingles(texts: list[str]) -> tuple[NDArray[np.uint32], Places]:
    """Return a hash of every shingle of every text, and where each text's begin."""
    framed = [f" {text} ".ljust(GRAM) for text in texts]
    lengths = np.array([len(text) for text in framed])
    codes = np.frombuffer("".join(framed).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    mixed = codes[:-2] * np.uint32(0x9E3779B1)
    mixed = (mixed ^ (codes[1:-1] * np.uint32(0x85EBCA77))) * np.uint32(0xC2B2AE3D)
    mixed = (mixed ^ (mixed >> np.uint32(15))) + codes[2:] * np.uint32(0x165667B1)
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(0x9E3779B1)
    mixed ^= mixed >> np.uint32(16)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    for back in range(1, GRAM):
        # Shingles that reach into the next text stand for this text's first one.
        over = ends - back
        inside = over < len(mixed)
        mixed[over[inside]] = mixed[starts[inside]]
    return mixed, starts


def pairs(found: Signatures, tell: Callable[[int], None]) -> Pairs:
    """Return the pairs of texts that are probably alike.

    A tree sorts all texts by some of their hashes and looks at neighbours only. So a shingle that
    half of all texts begin with costs no more than others, unlike buckets, which would compare
    each text with each.

    Args:
        found: From `signatures`.
        tell: Is told how many trees are done.
    """
    bits = np.packbits((found & 1).astype(np.uint8), axis=1).view(np.uint64)[:, 0]
    both = np.zeros(0, dtype=np.uint64)
    for tree in range(HASHES // DEPTH):
        both = np.unique(np.concatenate([both, *_neighbours(found, bits, tree)]))
        if len(both) > MOST_PARTNERS * len(found):
            both = _best(found, both)
        tell(tree + 1)
    firsts, seconds = _places(both)
    return Pairs(firsts, seconds, _likeness(found, firsts, seconds))


def _places(both: NDArray[np.uint64]) -> tuple[Places, Places]:
    """Return the two places of pairs that are written as one number."""
    firsts, seconds = both >> np.uint64(32), both & np.uint64(0xFFFFFFFF)
    return firsts.astype(np.int64), seconds.astype(np.int64)


def _best(found: Signatures, both: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the pairs in which each second text has one of its most probable partners."""
    firsts, seconds = _places(both)
    order = np.lexsort((-_likeness(found, firsts, seconds), seconds))
    kept: NDArray[np.uint64] = np.sort(both[order[ranks(seconds[order]) < MOST_PARTNERS // 2]])
    return kept


def ranks(groups: NDArray[np.integer[Any]]) -> Places:
    """Return each place's rank within its group, of groups that lie together."""
    begins = np.ones(len(groups), dtype=bool)
    begins[1:] = groups[1:] != groups[:-1]
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.r_[starts, len(groups)])
    return np.arange(len(groups)) - np.repeat(starts, lengths)


def _neighbours(
    found: Signatures, bits: NDArray[np.uint64], tree: int
) -> Iterator[NDArray[np.uint64]]:
    hashes = found[:, tree * DEPTH : (tree + 1) * DEPTH].astype(np.uint64)
    key = np.zeros(len(found), dtype=np.uint64)
    for column in range(DEPTH):
        key = (key << np.uint64(16)) | hashes[:, column]
    order = np.argsort(key, kind="stable")
    key, sorted_bits = key[order], bits[order]
    for step in range(1, WINDOW + 1):
        shared = (key[:-step] ^ key[step:]) >> np.uint64(16 * (DEPTH - SHARED)) == 0
        shared &= np.bitwise_count(sorted_bits[:-step] ^ sorted_bits[step:]) <= MOST_BITS
        one, other = order[:-step][shared], order[step:][shared]
        firsts, seconds = np.minimum(one, other), np.maximum(one, other)
        alike = _likeness(found, firsts, seconds) >= PROBABLE
        yield (firsts[alike].astype(np.uint64) << np.uint64(32)) | seconds[alike].astype(np.uint64)


def _likeness(found: Signatures, firsts: Places, seconds: Places) -> NDArray[np.float32]:
    result = np.empty(len(firsts), dtype=np.float32)
    step = 1 << 16
    for at in range(0, len(firsts), step):
        equal = found[firsts[at : at + step]] == found[seconds[at : at + step]]
        result[at : at + step] = equal.mean(axis=1, dtype=np.float32)
    return result
