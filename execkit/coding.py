"""Codes of text columns that repeat few words, read from Arrow's buffers in one pass."""

from __future__ import annotations

import numpy as np

from execkit.kernels import entry, kernel

MOST_WORDS = 16


@kernel
def _same(data: np.ndarray, a: int, b: int, length: int) -> bool:
    i = 0
    while i < length and data[a + i] == data[b + i]:
        i += 1
    return bool(i == length)


@entry
def code_words(ends: np.ndarray, data: np.ndarray, codes: np.ndarray, firsts: np.ndarray) -> int:
    """Number the different words of a column by their first rows.

    ends : (n + 1,) where each word begins in `data`, and the last ends. codes : (n,) to be filled.
    firsts : to be filled with the row of each word's first use. Returns how many words there are,
    -1 if they are more than there is room for in `firsts`.
    """
    n_words = 0
    for row in range(len(codes)):
        begin = ends[row]
        length = ends[row + 1] - begin
        code = -1
        for known in range(n_words):
            there = ends[firsts[known]]
            alike = ends[firsts[known] + 1] - there == length
            if alike and _same(data, begin, there, length):
                code = known
                break
        if code < 0:
            if n_words == len(firsts):
                return -1
            firsts[n_words] = row
            code = n_words
            n_words += 1
        codes[row] = code
    return n_words
