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


@kernel
def _is_one_word(ends: np.ndarray, data: np.ndarray) -> bool:
    """Whether all words are the first: each byte is that of a word earlier (a loop without exits
    runs on many bytes at once)."""
    begin, end = ends[0], ends[-1]
    length = ends[1] - begin
    if length == 0 or end - begin != length * (len(ends) - 1):
        return False
    other = 0
    for row in range(len(ends) - 1):
        other += ends[row + 1] - ends[row] != length
    if other == 0:
        for i in range(begin + length, end):
            other += data[i] != data[i - length]
    return bool(other == 0)


@entry
def code_words(ends: np.ndarray, data: np.ndarray, codes: np.ndarray, firsts: np.ndarray) -> int:
    """Number the different words of a column by their first rows.

    ends : (n + 1,) where each word begins in `data`, and the last ends. codes : (n,) to be filled,
    and left alone where there is but one word.
    firsts : to be filled with the row of each word's first use. Returns how many words there are,
    -1 if they are more than there is room for in `firsts`.
    """
    if _is_one_word(ends, data):
        firsts[0] = 0
        return 1
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
