"""The step of a decoder that reads one token of each row, as one program that numba compiles (Lam, Pitrou and Seibert, 2015).

Of the form that `DecodingDecoder` makes of Llama and Qwen3: norms' gains folded into matrices, the two channels that rotate together
adjacent. Nothing imports this file: `step.py` reads it and has it compiled. Rows are independent, and each number is summed by one
thread in one order, so no number of threads changes a bit. Matrices are [out, in], rows of `out` padded to a multiple of TILE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Bits = NDArray[np.int32]

TILE = 4  # outputs and rows whose sums stand in registers together
LEAST, MOST = np.float32(-87.0), np.float32(87.0)  # whose exponentials are normal numbers
SIGNATURE = (
    "void(int64[::1], int64[::1], int64[::1], float32[:, ::1], float32[::1], int64[::1], int64[::1], float32, float32[:, :, ::1], "
    "float32[:, ::1], int64, float32[:, :, :, :, ::1], float32[:, ::1])"
)
# Sums may be reordered into lanes; what is no number stays none.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}}


def compiled(function: Function) -> Function:
    """Have numba compile a function where it is called."""
    made: Any = numba.njit(**OPTIONS)(function)
    return cast(Function, made)


def kept(function: Function) -> Function:
    """Have numba compile `step` now, or take it from the cache folder, with all that it calls."""
    made: Any = numba.njit(SIGNATURE, cache=True, **OPTIONS)(function)
    return cast(Function, made)


@compiled
def exponentials(x_S: Floats, powers_S: Bits, whole_S: Floats, scratch_S: Floats) -> None:
    """Replace x by e^x within one unit in the last place, by Cody and Waite's reduction and a polynomial (Moshier's Cephes, expf).

    powers: int32, whose bits `scratch` shows as float32.
    """
    for s in range(len(x_S)):
        x = min(max(x_S[s], LEAST), MOST)
        whole = np.floor(x * np.float32(1.44269504088896341) + np.float32(0.5))
        powers_S[s] = (np.int32(whole) + np.int32(127)) << np.int32(23)
        r = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        whole_S[s] = p * r * r + r + np.float32(1.0)
    for s in range(len(x_S)):
        x_S[s] = whole_S[s] * scratch_S[s]


@compiled
def tile(x_NI: Floats, first: int, w_TI: Floats, y_NO: Floats, at: int) -> None:
    """Multiply TILE rows by TILE rows of a matrix: y[first:, at:] = x[first:] w^T."""
    x0_I, x1_I, x2_I, x3_I = x_NI[first], x_NI[first + 1], x_NI[first + 2], x_NI[first + 3]
    w0_I, w1_I, w2_I, w3_I = w_TI[0], w_TI[1], w_TI[2], w_TI[3]
    zero = np.float32(0.0)
    a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
    c0, c1, c2, c3, d0, d1, d2, d3 = zero, zero, zero, zero, zero, zero, zero, zero
    for i in range(x_NI.shape[1]):
        p0, p1, p2, p3 = x0_I[i], x1_I[i], x2_I[i], x3_I[i]
        q = w0_I[i]
        a0 += q * p0
        a1 += q * p1
        a2 += q * p2
        a3 += q * p3
        q = w1_I[i]
        b0 += q * p0
        b1 += q * p1
        b2 += q * p2
        b3 += q * p3
        q = w2_I[i]
        c0 += q * p0
        c1 += q * p1
        c2 += q * p2
        c3 += q * p3
        q = w3_I[i]
        d0 += q * p0
        d1 += q * p1
        d2 += q * p2
        d3 += q * p3
    y_NO[first, at], y_NO[first, at + 1], y_NO[first, at + 2], y_NO[first, at + 3] = a0, b0, c0, d0
    y_NO[first + 1, at], y_NO[first + 1, at + 1], y_NO[first + 1, at + 2], y_NO[first + 1, at + 3] = a1, b1, c1, d1
    y_NO[first + 2, at], y_NO[first + 2, at + 1], y_NO[first + 2, at + 2], y_NO[first + 2, at + 3] = a2, b2, c2, d2
    y_NO[first + 3, at], y_NO[first + 3, at + 1], y_NO[first + 3, at + 2], y_NO[first + 3, at + 3] = a3, b3, c3, d3


@compiled
def alone(x_I: Floats, w_OI: Floats, y_O: Floats) -> None:
    """Multiply one vector by a matrix: y = w x."""
    for o in range(len(w_OI)):
        w_I = w_OI[o]
        sum_ = np.float32(0.0)
        for i in range(len(x_I)):
            sum_ += w_I[i] * x_I[i]
        y_O[o] = sum_


@compiled
def product(x_NI: Floats, rows: int, w_OI: Floats, y_NO: Floats) -> None:
    """Multiply the first `rows` rows by a matrix: y = x w^T. Rows beyond, up to a multiple of TILE, may be anything that is finite."""
    whole = rows if rows % TILE != 1 else rows - 1
    for at in range(0, len(w_OI), TILE):
        for first in range(0, whole, TILE):
            tile(x_NI, first, w_OI[at : at + TILE], y_NO, at)
    if whole < rows:
        alone(x_NI[whole], w_OI, y_NO[whole])


@compiled
def padded(count: int) -> int:
    """Return the next multiple of TILE."""
    return (count + TILE - 1) // TILE * TILE


@compiled
def matrix(weights: Floats, begin: int, outs: int, ins: int) -> Floats:
    """Return the matrix [outs, ins] that begins there."""
    return weights[begin : begin + outs * ins].reshape(outs, ins)


@compiled
def scaled(x_ND: Floats, rows: int, epsilon: np.float32, y_ND: Floats) -> None:
    """Divide each row by its root mean square (Zhang and Sennrich, 2019)."""
    for n in range(rows):
        square = np.float32(0.0)
        for d in range(x_ND.shape[1]):
            square += x_ND[n, d] * x_ND[n, d]
        scale = np.float32(1.0) / np.sqrt(square / np.float32(x_ND.shape[1]) + epsilon)
        for d in range(x_ND.shape[1]):
            y_ND[n, d] = x_ND[n, d] * scale


@compiled
def prepare(all_XK: Floats, gain_XK: Floats, epsilon: np.float32, turn_R: Floats) -> None:
    """Normalize each head of queries and keys, if there are gains, and rotate its pairs of channels."""
    for x in range(len(all_XK)):
        head_K = all_XK[x]
        if len(gain_XK):
            square = np.float32(0.0)
            for k in range(len(head_K)):
                square += head_K[k] * head_K[k]
            scale = np.float32(1.0) / np.sqrt(square / np.float32(len(head_K)) + epsilon)
            for k in range(len(head_K)):
                head_K[k] *= scale * gain_XK[x, k]
        for r in range(len(turn_R) // 2):
            a, b, cosine, sine = head_K[2 * r], head_K[2 * r + 1], turn_R[2 * r], turn_R[2 * r + 1]
            head_K[2 * r] = a * cosine - b * sine
            head_K[2 * r + 1] = a * sine + b * cosine


@compiled
def attend(q_HK: Floats, entries_SXK: Floats, out_HK: Floats, score_S: Floats, powers_S: Bits, whole_S: Floats, scratch_S: Floats) -> None:
    """Attend with each query to all entries: the keys of its group, then its values."""
    heads, width = q_HK.shape
    length, groups = len(entries_SXK), entries_SXK.shape[1] // 2
    shared = heads // groups
    scale = np.float32(1.0) / np.sqrt(np.float32(width))
    for h in range(heads):
        g = h // shared
        q_K, out_K = q_HK[h], out_HK[h]
        for s in range(length):
            key_K = entries_SXK[s, g]
            sum_ = np.float32(0.0)
            for k in range(width):
                sum_ += q_K[k] * key_K[k]
            score_S[s] = sum_ * scale
        highest = score_S[0]
        for s in range(1, length):
            highest = max(highest, score_S[s])
        for s in range(length):
            score_S[s] -= highest
        exponentials(score_S[:length], powers_S, whole_S, scratch_S)
        total = np.float32(0.0)
        for s in range(length):
            total += score_S[s]
        for k in range(width):
            out_K[k] = np.float32(0.0)
        for s in range(0, length - 3, 4):
            p0, p1, p2, p3 = score_S[s], score_S[s + 1], score_S[s + 2], score_S[s + 3]
            v0_K, v1_K = entries_SXK[s, groups + g], entries_SXK[s + 1, groups + g]
            v2_K, v3_K = entries_SXK[s + 2, groups + g], entries_SXK[s + 3, groups + g]
            for k in range(width):
                out_K[k] += p0 * v0_K[k] + p1 * v1_K[k] + p2 * v2_K[k] + p3 * v3_K[k]
        for s in range(length - length % 4, length):
            p0, v0_K = score_S[s], entries_SXK[s, groups + g]
            for k in range(width):
                out_K[k] += p0 * v0_K[k]
        share = np.float32(1.0) / total
        for k in range(width):
            out_K[k] *= share


@compiled
def gated(inner_NF: Floats, rows: int, powers_F: Bits, whole_F: Floats, scratch_F: Floats, e_F: Floats, out_NF: Floats) -> None:
    """Multiply SiLU of the first half of the channels by the second half."""
    width = out_NF.shape[1]
    for n in range(rows):
        for f in range(width):
            e_F[f] = -inner_NF[n, f]
        exponentials(e_F[:width], powers_F, whole_F, scratch_F)
        for f in range(width):
            out_NF[n, f] = inner_NF[n, f] / (np.float32(1.0) + e_F[f]) * inner_NF[n, width + f]


@kept
def step(
    tokens_N: Integers,
    starts_N: Integers,
    slots_N: Integers,
    table_VD: Floats,
    weights: Floats,
    begins: Integers,
    sizes: Integers,
    epsilon: np.float32,
    gain_LXK: Floats,
    turn_PR: Floats,
    before: int,
    entries_LCSXK: Floats,
    logits_NV: Floats,
) -> None:
    """Read one token of each row and write the logits after it, its entries in the state.

    starts: tokens of each row before; slots: its place in the state. weights: all matrices in one piece; begins: where each begins, four of
    each layer (queries, keys and values; attention's output; gate and up; down), then the head.
    sizes: heads, groups, head width, feed-forward. before: entries that stand before every row.
    """
    rows, width = len(tokens_N), table_VD.shape[1]
    heads, groups, narrow, inner = sizes[0], sizes[1], sizes[2], sizes[3]
    room, outs = padded(rows), (heads + 2 * groups) * narrow
    outs_padded, width_padded, inner_padded = padded(outs), padded(width), padded(2 * inner)
    stream_ND, x_ND = np.empty((rows, width), np.float32), np.zeros((room, width), np.float32)
    all_NO = np.empty((room, outs_padded), np.float32)
    out_NO, add_ND = np.zeros((room, heads * narrow), np.float32), np.empty((room, width_padded), np.float32)
    both_NF, inner_NF = np.empty((room, inner_padded), np.float32), np.zeros((room, inner), np.float32)
    longest = 0
    for n in range(rows):
        longest = max(longest, starts_N[n] + 1 + before)
        stream_ND[n] = table_VD[tokens_N[n]]
    most = max(longest, inner)
    score, powers, whole = np.empty(most, np.float32), np.empty(most, np.int32), np.empty(most, np.float32)
    scratch = powers.view(np.float32)
    for layer in range(len(begins) // 4):
        at = begins[4 * layer : 4 * layer + 4]
        scaled(stream_ND, rows, epsilon, x_ND)
        product(x_ND, rows, matrix(weights, at[0], outs_padded, width), all_NO)
        for n in range(rows):
            all_XK = all_NO[n, :outs].reshape(heads + 2 * groups, narrow)
            prepare(all_XK[: heads + groups], gain_LXK[layer], epsilon, turn_PR[starts_N[n]])
            entries_SXK = entries_LCSXK[layer, slots_N[n], : starts_N[n] + 1 + before]
            entries_SXK[starts_N[n] + before] = all_XK[heads:]
            attend(all_XK[:heads], entries_SXK, out_NO[n].reshape(heads, narrow), score, powers, whole, scratch)
        product(out_NO, rows, matrix(weights, at[1], width_padded, heads * narrow), add_ND)
        stream_ND += add_ND[:rows, :width]
        scaled(stream_ND, rows, epsilon, x_ND)
        product(x_ND, rows, matrix(weights, at[2], inner_padded, width), both_NF)
        gated(both_NF, rows, powers, whole, scratch, score, inner_NF)
        product(inner_NF, rows, matrix(weights, at[3], width_padded, inner), add_ND)
        stream_ND += add_ND[:rows, :width]
    scaled(stream_ND, rows, epsilon, x_ND)
    product(x_ND, rows, matrix(weights, begins[-1], logits_NV.shape[1], width), logits_NV)
