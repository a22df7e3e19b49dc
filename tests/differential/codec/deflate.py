"""Random deflate streams.

zlib's own streams are all alike. These are what RFC 1951 allows besides, and what it almost allows.
"""

from __future__ import annotations

import itertools
import random
import zlib
from dataclasses import dataclass
from dataclasses import field

from .damages import flip_bit

Bits = list[int]

#: The smallest value of each code, and how many bits of the value follow the code (RFC 1951 section 3.2.5).
Codes = list[tuple[int, int]]
LENGTH_EXTRAS = [0] * 8 + [bits for bits in (1, 2, 3, 4, 5) for _ in range(4)]
DISTANCE_EXTRAS = [0, 0] + [bits for bits in range(14) for _ in range(2)]
LENGTH_CODES: Codes = [
    *zip(itertools.accumulate((1 << bits for bits in LENGTH_EXTRAS), initial=3), LENGTH_EXTRAS, strict=False),
    (258, 0),
]
DISTANCE_CODES: Codes = list(
    zip(itertools.accumulate((1 << bits for bits in DISTANCE_EXTRAS), initial=1), DISTANCE_EXTRAS, strict=False)
)
CODE_LENGTH_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
END_OF_BLOCK = 256
FIXED_LITERALS = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8
FIXED_DISTANCES = [5] * 32


@dataclass(frozen=True)
class Symbol:
    """A literal, the end of a block, or a match, which has a distance."""

    code: int
    extra: Bits = field(default_factory=list)
    distance: int | None = None
    distance_extra: Bits = field(default_factory=list)


def low_bits_first(number: int, width: int) -> Bits:
    return [number >> bit & 1 for bit in range(width)]


def huffman(lengths: list[int]) -> dict[int, Bits]:
    """The canonical codes of these lengths (RFC 1951 section 3.2.2); of lengths that make no code, something alike."""
    codes = {}
    code = 0
    for length in range(1, 16):
        code <<= 1
        for symbol, width in enumerate(lengths):
            if width == length:
                codes[symbol] = low_bits_first(code, length)[::-1]
                code += 1
    return codes


def code_lengths(rng: random.Random, symbols: set[int], count: int, longest: int) -> list[int]:
    """Lengths of a random complete code for the symbols, with a small chance that it is not quite complete."""
    widths = [0]
    while len(widths) < len(symbols) or len(widths) == 1:
        split = rng.randrange(len(widths))
        if widths[split] < longest:
            widths[split] += 1
            widths.append(widths[split])
    rng.shuffle(widths)
    lengths = [0] * count
    for symbol, width in zip(sorted(symbols), widths, strict=False):
        lengths[symbol] = width
    if rng.random() < 0.03:
        at = rng.choice(sorted(symbols))
        lengths[at] = rng.choice((0, max(lengths[at] - 1, 1), min(lengths[at] + 1, longest)))
    return lengths


def coded(codes: Codes, value: int) -> tuple[int, Bits]:
    """Which of the codes stands for the value, and the bits that follow."""
    code = max(code for code, (first, _) in enumerate(codes) if first <= value)
    first, width = codes[code]
    return code, low_bits_first(value - first, width)


def symbols_of(rng: random.Random, data: bytes, start: int, end: int) -> list[Symbol]:
    """Literals, and matches here and there."""
    symbols = []
    at = start
    while at < end:
        earlier = data.rfind(data[at : at + 3], 0, at + 2) if at + 3 <= end and rng.random() < 0.5 else -1
        if earlier < 0:
            symbols.append(Symbol(data[at]))
            at += 1
            continue
        length = 3
        while length < 258 and at + length < end and data[earlier + length] == data[at + length]:
            length += 1
        # The longest match has a code of its own, but may also be spelled with the code before.
        spelled = coded(LENGTH_CODES[:-1] if rng.random() < 0.5 else LENGTH_CODES, length)
        distance = at - earlier if rng.random() < 0.98 else rng.choice((at, at + 1, 32_768))
        symbols.append(Symbol(END_OF_BLOCK + 1 + spelled[0], spelled[1], *coded(DISTANCE_CODES, distance)))
        at += length
    return [*symbols, Symbol(END_OF_BLOCK)]


def block_body(symbols: list[Symbol], literals: list[int], distances: list[int]) -> Bits:
    literal_codes, distance_codes = huffman(literals), huffman(distances)
    bits: Bits = []
    for symbol in symbols:
        bits += literal_codes.get(symbol.code, []) + symbol.extra
        if symbol.distance is not None:
            bits += distance_codes.get(symbol.distance, []) + symbol.distance_extra
    return bits


def fixed_block(rng: random.Random, symbols: list[Symbol]) -> Bits:
    if rng.random() < 0.03:
        # Codes that exist but stand for nothing.
        odd = rng.choice((Symbol(286), Symbol(287), Symbol(257, [], 30), Symbol(257, [], 31)))
        symbols = [*symbols[:-1], odd, symbols[-1]]
    return low_bits_first(1, 2) + block_body(symbols, FIXED_LITERALS, FIXED_DISTANCES)


def dynamic_block(rng: random.Random, symbols: list[Symbol]) -> Bits:
    used = {symbol.code for symbol in symbols} | set(rng.choices(range(286), k=rng.choice((0, 1, 9))))
    used_distances = {symbol.distance for symbol in symbols if symbol.distance is not None}
    used_distances |= set(rng.choices(range(30), k=rng.choice((0, 0, 1, 9))))
    literals = code_lengths(rng, used, rng.choice((286, 286, max(used | {256}) + 1)), 15)
    distances = code_lengths(rng, used_distances, 30, 15) if used_distances else [0]
    if rng.random() < 0.02:
        rng.choice((literals, distances)).extend((0, 0))
    return low_bits_first(2, 2) + code_header(rng, literals, distances) + block_body(symbols, literals, distances)


def code_header(rng: random.Random, literals: list[int], distances: list[int]) -> Bits:
    """The two codes of a block, themselves run-length coded (RFC 1951 section 3.2.7)."""
    lengths = literals + distances
    runs: list[tuple[int, Bits]] = []
    at = 0
    while at < len(lengths):
        run = sum(1 for _ in itertools.takewhile(lengths[at].__eq__, lengths[at : at + 138]))
        if rng.random() < 0.002:
            # Too long a run, or one of nothing.
            runs.append((18, low_bits_first(127, 7)) if at else (16, low_bits_first(0, 2)))
            at += 138
        elif lengths[at] == 0 and run >= 11:
            runs.append((18, low_bits_first(run - 11, 7)))
            at += run
        elif lengths[at] == 0 and run >= 3:
            runs.append((17, low_bits_first(run - 3, 3)))
            at += run
        elif at and lengths[at - 1] == lengths[at] and run >= 3 and rng.random() < 0.8:
            runs.append((16, low_bits_first(min(run, 6) - 3, 2)))
            at += min(run, 6)
        else:
            runs.append((lengths[at], []))
            at += 1
    used = {symbol for symbol, _ in runs} | set(rng.choices(range(19), k=rng.randrange(3)))
    widths = code_lengths(rng, used, 19, 7)
    codes = huffman(widths)
    last = max(at for at, symbol in enumerate(CODE_LENGTH_ORDER, 1) if widths[symbol] or at == 4)
    sent = last if rng.random() < 0.5 else 19
    header = low_bits_first(len(literals) - 257, 5) + low_bits_first(len(distances) - 1, 5)
    header += low_bits_first(sent - 4, 4)
    header += [bit for symbol in CODE_LENGTH_ORDER[:sent] for bit in low_bits_first(widths[symbol], 3)]
    return header + [bit for symbol, extra in runs for bit in codes.get(symbol, []) + extra]


def stored_block(rng: random.Random, data: bytes, bits_before: int) -> Bits:
    padding = [rng.randrange(2) for _ in range(-(bits_before + 2) % 8)]
    check = ~len(data) & 0xFFFF if rng.random() < 0.97 else 0
    stored = len(data).to_bytes(2, "little") + check.to_bytes(2, "little") + data
    return low_bits_first(0, 2) + padding + [bit for byte in stored for bit in low_bits_first(byte, 8)]


def hand_made_stream(rng: random.Random, data: bytes) -> bytes:
    """A zlib stream of up to four blocks of all kinds."""
    cuts = sorted(rng.choices(range(len(data) + 1), k=rng.randrange(4)))
    bits: Bits = []
    for start, end in itertools.pairwise([0, *cuts, len(data)]):
        bits.append(int(end == len(data)))
        kind = rng.random()
        if kind < 0.2:
            bits += stored_block(rng, data[start:end], len(bits))
        elif kind < 0.4:
            bits += fixed_block(rng, symbols_of(rng, data, start, end))
        elif kind < 0.99:
            bits += dynamic_block(rng, symbols_of(rng, data, start, end))
        else:
            bits += low_bits_first(3, 2)
    body = bytes(sum(bit << at for at, bit in enumerate(bits[i : i + 8])) for i in range(0, len(bits), 8))
    method, flags = 0x78, rng.choice((0, 0x80))
    if rng.random() < 0.1:
        # Smaller and larger windows, another method, a preset dictionary.
        method, flags = rng.choice(((0x08, 0), (0x18, 0), (0x58, 0x40), (0x88, 0), (0x77, 0), (0x78, 0x20)))
    flags += -(method * 256 + flags) % 31 if rng.random() < 0.98 else 0
    checksum = zlib.adler32(data) if rng.random() < 0.98 else 1
    return bytes((method, flags)) + body + checksum.to_bytes(4, "big")


def zlib_stream(rng: random.Random, data: bytes) -> bytes:
    """A stream of zlib's, of any settings, and flushed in its midst."""
    deflater = zlib.compressobj(
        rng.randrange(-1, 10),
        wbits=rng.choice((15, 15, 15, 9, 10, 12, -15, 31)),
        memLevel=rng.randrange(1, 10),
        strategy=rng.randrange(5),
    )
    flush = rng.choice((zlib.Z_NO_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH))
    half = len(data) // 2
    pieces = [deflater.compress(data[:half]), deflater.flush(flush), deflater.compress(data[half:]), deflater.flush()]
    return b"".join(pieces)


def deflated(rng: random.Random, data: bytes) -> bytes:
    kind = rng.random()
    if kind < 0.3:
        return zlib.compress(data)
    if kind < 0.31:
        return zlib.compress(b" " * 3_000_000 + data)
    stream = zlib.compress(data)
    if kind < 0.65:
        stream = zlib_stream(rng, data)
    elif len(data) < 10_000:
        stream = hand_made_stream(rng, data)
    fate = rng.random()
    if fate < 0.6:
        return stream
    if fate < 0.7:
        return stream + rng.choice((b"\x00", b"trailing", stream))
    if fate < 0.85:
        return stream[: rng.randrange(len(stream))]
    return flip_bit(rng, stream)
