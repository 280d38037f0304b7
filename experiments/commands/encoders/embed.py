"""`prismlab embed`: embed videos with a stage of your own or a released model."""

import argparse

from prismlab.core import address_space, errors
from prismlab.experiments.commands import path_arguments, shared_model

NAME = "embed"
HELP = "embed videos (files, folders, patterns) with a trained stage or a released model and write one .npz"
SOME_FAILED = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEO", help="file, folder or glob pattern such as 'a/**/*.mp4'"
    )
    shared_model.arguments(parser)
    parser.add_argument(
        "--out", required=True, type=path_arguments.local, metavar="EMB.npz", help="output file"
    )
    parser.add_argument("--frames", type=int, metavar="T", help="frames per clip (default: the model's)")
    parser.add_argument(
        "--resolution", type=int, metavar="R", help="frame size in pixels (default: the model's)"
    )
    parser.add_argument(
        "--stride-seconds", type=float, metavar="S", help="one vector per S seconds instead of one per video"
    )
    parser.add_argument("--tokens", action="store_true", help="also store the token features of each window")


def run(options: argparse.Namespace) -> int:
    """Embed the videos, list those that failed, write the file atomically."""
    from prismlab.data.video import listing, windows
    from prismlab.experiments import console
    from prismlab.experiments.released import embedding, embedding_archive

    address_space.check()
    if options.stride_seconds is not None and not 0 < options.stride_seconds < float("inf"):
        raise errors.UserError(f"--stride-seconds must be above 0, got {options.stride_seconds}")
    if options.out.suffix != ".npz" or options.out.is_dir():
        raise errors.UserError(f"--out must be a path ending in .npz, got {options.out}")
    found, nothing = listing.find(options.videos)
    if not found:
        raise errors.UserError("\n".join(f"{word}: {reason}" for word, reason in nothing))
    named, digest = shared_model.load(options)
    model = named.model
    frames, resolution = embedding.sizes(model, options.frames, options.resolution)
    embed = embedding.embedder(model, options.tokens)
    vector = embedding.kind_of_vector(model)
    out = console.make_console()
    console.say(out, f"{named.name}: {frames} frames of {resolution} x {resolution}; vector: {vector}")
    failed = len(nothing)
    with embedding_archive.writing(options.out) as writer:
        for word, reason in nothing:
            console.tell(f"{word}: {reason}")
            writer.fail(word, reason)
        with console.Progress("embed", len(found), console=out) as bar:
            for done, path in enumerate(found, 1):
                try:
                    for window, clip in windows.read(path, frames, resolution, options.stride_seconds):
                        writer.add(path, window, clip, *embed(clip))
                except (errors.UserError, PermissionError) as error:
                    bar.status(f"failed: {error}")
                    writer.fail(path, str(error))
                    failed += 1
                bar.update(done)
        rows = writer.rows
        writer.finish(model=named.name, weights_sha256=digest, vector=vector)
    few = f"; {failed} failed, listed in failed_path of the file" if failed else ""
    console.say(out, f"written: {options.out}, {rows} vectors of {len(found)} files{few}")
    return SOME_FAILED if failed else 0
