"""Synthetic PDQ-like hashes for the search's bench, as [count, 32] uint8 in the byte order of the hex text.

uniform     independent fair bits.
correlated  What pictures do to PDQ, in two steps. A picture is a Gaussian field of 16 x 16 coefficients whose neighbours correlate
            (0.5 per step along rows and columns) and which shares 8 patterns with all other pictures (a third of the variance), thresholded at its own
            median, so that every hash has 128 ones. Six in ten pictures have near-duplicates: clusters whose sizes follow a Pareto law of index 1.2
            (from 2 on, at most a hundredth of the bank); a member is its cluster's field plus noise of 0.05 to 0.4 of its deviation, so that
            the coefficients near the median flip, as they do when pictures are recompressed.
Queries: half are noisy copies of random rows of the bank (so large clusters are met often), half are fresh.
"""
import numpy as np

BITS = 256
CHUNK = 100_000


class Uniform:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def bank(self, count):
        return self.rng.integers(0, 256, (count, BITS // 8), np.uint8)

    def queries(self, bank, count):
        """Every second one 20 bits from a row of the bank."""
        queries = self.bank(count)
        for at in range(0, count, 2):
            flips = np.zeros(BITS, np.uint8)
            flips[self.rng.choice(BITS, 20, replace=False)] = 1
            queries[at] = bank[self.rng.integers(len(bank))] ^ np.packbits(flips)
        return queries


class Correlated:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        steps = np.abs(np.subtract.outer(np.arange(16), np.arange(16)))
        axis = np.linalg.cholesky(0.5**steps)
        self.mix = np.kron(axis, axis).T.astype(np.float32)
        self.patterns = (self.rng.standard_normal((8, BITS)) @ self.mix / np.sqrt(8)).astype(np.float32)

    def fields(self, count):
        own = self.rng.standard_normal((count, BITS), np.float32) @ self.mix
        shared = self.rng.standard_normal((count, 8), np.float32) @ self.patterns
        return np.sqrt(np.float32(2 / 3)) * own + np.sqrt(np.float32(1 / 3)) * shared

    def noisy(self, fields):
        strength = self.rng.uniform(0.05, 0.4, (len(fields), 1)).astype(np.float32)
        return fields + strength * self.rng.standard_normal(fields.shape, np.float32)

    @staticmethod
    def hashes(fields):
        """Bits above the lower of the two middle values, as PDQ takes them."""
        return np.packbits(fields > np.partition(fields, BITS // 2 - 1, axis=1)[:, BITS // 2 - 1 : BITS // 2], axis=1)

    def bank(self, count):
        sizes = []
        left = int(0.6 * count)
        while left > 0:
            drawn = np.minimum(2 * (1 + self.rng.pareto(1.2, 10_000)), max(2, count // 100)).astype(int)
            taken = drawn[: np.searchsorted(np.cumsum(drawn), left) + 1]
            sizes.append(taken)
            left -= taken.sum()
        sizes = np.concatenate(sizes)
        rows = []
        for start in range(0, len(sizes), CHUNK):
            some = sizes[start : start + CHUNK]
            centres = self.fields(len(some))
            members = np.repeat(np.arange(len(some)), some)
            for at in range(0, len(members), CHUNK):
                rows.append(self.hashes(self.noisy(centres[members[at : at + CHUNK]])))
        clustered = np.concatenate(rows)[:count]
        fresh = [self.hashes(self.fields(min(CHUNK, count - at))) for at in range(len(clustered), count, CHUNK)]
        bank = np.concatenate([clustered, *fresh])[:count]
        return bank[self.rng.permutation(len(bank))]

    def queries(self, bank, count):
        queries = self.hashes(self.fields(count))
        for at in range(0, count, 2):
            flips = np.zeros(BITS, np.uint8)
            # Two to twenty bits, as a recompressed picture would have.
            flips[self.rng.choice(BITS, self.rng.integers(2, 21), replace=False)] = 1
            queries[at] = bank[self.rng.integers(len(bank))] ^ np.packbits(flips)
        return queries


KINDS = {"uniform": Uniform, "correlated": Correlated}
