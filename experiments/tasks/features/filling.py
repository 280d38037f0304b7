"""Fill a store with the features of clips it does not have: say what it costs, then encode shard by shard."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Float32

from prismlab.core import errors
from prismlab.experiments.recipe import progress
from prismlab.experiments.tasks.features import encoder_pass, feature_set, feature_store
from prismlab.experiments.tasks.interface import items

# Fewer batches than this are encoded without measuring first how long one takes.
FEW_BATCHES = 4


def fill(
    store: feature_store.FeatureStore,
    found: items.ItemSet,
    identities: Sequence[str],
    encoder: encoder_pass.EncoderPass,
    *,
    retry_failed: bool = False,
) -> int:
    """Encode the clips that the store lacks, and append a shard at a time.

    Args:
        store: the store.
        found: the items.
        identities: of their clips, see `row_identity`.
        encoder: the encoder pass.
        retry_failed: also those that could not be read before.

    Returns:
        Number of items whose features were there before.

    Raises:
        UserError: the disk has too little space, or another process writes to the store.
    """
    done = lambda each: store.place(each) is not None or (not retry_failed and store.reason(each) is not None)
    if all(done(each) for each in identities):
        progress.report(f"{found.name}: features of {len(found)} clips reused ({store.folder.name})")
        return len(found)
    with store.writing():
        waiting = {each: item for item, each in zip(found.items, identities) if not done(each)}
        announce(store, found, list(waiting.values()), encoder)
        counter = progress.Counter(f"{found.name}: clips encoded", len(waiting))
        names = list(waiting)
        for start in range(0, len(names), store.rows_a_shard):
            piece = names[start : start + store.rows_a_shard]
            kept, parts, failed = [], [], {}
            for name, features in each_encoded(
                found, [waiting[name] for name in piece], encoder, counter.add
            ):
                if isinstance(features, str):
                    failed[piece[name]] = features
                else:
                    kept.append(piece[name])
                    parts.append(features)
            empty = np.zeros((0, *store.row_shape), np.float32)
            store.append(kept, np.stack(parts) if parts else empty, failed)
    return len(found) - len(waiting)


def each_encoded(
    found: items.ItemSet,
    wanted: Sequence[items.Item],
    encoder: encoder_pass.EncoderPass,
    count: Callable[[int], None] = lambda done: None,
) -> Iterator[tuple[int, Float32[np.ndarray, "p v ..."] | str]]:
    """Yield (index, features of all passes, or why the clip cannot be read) of items, encoded in batches.

    Args:
        found: the item set that loads the clips.
        wanted: the items.
        encoder: the encoder pass.
        count: called with the number of items done since the last call.
    """
    how = encoder.how
    places: list[int] = []
    clips: list[np.ndarray] = []
    for index, item in enumerate(wanted):
        clip = feature_set.decoded(found, item, encoder)
        if isinstance(clip, str):
            yield index, clip
        else:
            places.append(index)
            clips.append(clip)
        last = index + 1 == len(wanted)
        if clips and (len(clips) * how.passes * how.views >= encoder.batch_size or last):
            batch = np.stack(clips)
            merged = batch.reshape(-1, *batch.shape[2:])
            features = feature_set.encoded_clips(merged, encoder)
            yield from zip(places, features.reshape(*batch.shape[:2], *features.shape[1:]))
            places, clips = [], []
        count(1)


def announce(
    store: feature_store.FeatureStore,
    found: items.ItemSet,
    wanted: Sequence[items.Item],
    encoder: encoder_pass.EncoderPass,
) -> None:
    """Report bytes, time and free space before anything is written, and name what is smaller.

    Raises:
        UserError: the disk has too little space.
    """
    total = len(wanted) * store.row_bytes
    free = shutil.disk_usage(store.folder).free
    smaller = "; smaller: " + ", ".join(reductions(store, encoder, len(wanted)))
    if total < 1 << 20 or smaller.endswith(": "):
        smaller = ""
    text = (
        f"{found.name}: {len(wanted)} of {len(found)} clips to encode, {size(store.row_bytes)} each, "
        f"{size(total)} in {store.folder} ({size(free)} free)"
    )
    if total > 0.98 * free:
        raise errors.UserError(
            f"{text}: too little space{smaller}; or set keeping.Keeping.mode='streamed', which stores nothing"
        )
    seconds = _seconds(found, wanted, encoder)
    progress.report(f"{text}, about {progress.duration(seconds)}{smaller}" if seconds else f"{text}{smaller}")


def reductions(store: feature_store.FeatureStore, encoder: encoder_pass.EncoderPass, rows: int) -> list[str]:
    """Return cheaper ways to keep features, with their size, largest first."""
    how, whole = encoder.how, rows * store.row_bytes
    found = []
    if store.dtype.itemsize == 4:
        found.append((whole // 2, "keeping.Keeping.dtype='bfloat16'"))
    if how.pooling == "attention" and len(encoder.shape) == 2:
        tokens = encoder.shape[0]
        if tokens > how.frames and not tokens % how.frames:
            found.append((whole * how.frames // tokens, "protocols.Protocol.pooling='frames'"))
        found.append((whole // tokens, "protocols.Protocol.pooling='mean'"))
    elif how.pooling == "frames":
        found.append((whole // how.frames, "protocols.Protocol.pooling='mean'"))
    if how.passes > 1:
        found.append((whole // how.passes, "protocols.Protocol.passes=1 without augment"))
    return [f"{size(count)} with {what}" for count, what in sorted(found, reverse=True)]


def size(count: int) -> str:
    """Return a number of bytes in words: "3.1 kB", "262 MB"."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def _seconds(found: items.ItemSet, wanted: Sequence[items.Item], encoder: encoder_pass.EncoderPass) -> float:
    """Return the expected seconds of a pass, from one batch; 0 for a pass of few batches."""
    each = encoder.how.passes * encoder.how.views
    count = max(1, encoder.batch_size // each)
    if len(wanted) < FEW_BATCHES * count:
        return 0.0
    start = time.perf_counter()
    clips = [feature_set.decoded(found, item, encoder) for item in wanted[:count]]
    reading = time.perf_counter() - start
    read = [clip for clip in clips if not isinstance(clip, str)]
    if not read:
        return 0.0
    batch = np.concatenate(read)
    batch = batch.reshape(-1, *batch.shape[2:])
    jax.block_until_ready(encoder(batch))  # compiles
    start = time.perf_counter()
    jax.block_until_ready(encoder(batch))
    return (reading / count + (time.perf_counter() - start) / len(read)) * len(wanted)
