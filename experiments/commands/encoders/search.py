"""`prismlab search`: rank embedded videos by text queries."""

import argparse

from prismlab.core import address_space, errors
from prismlab.experiments.commands import path_arguments, shared_model

NAME = "search"
HELP = "rank the videos of an .npz written by `embed` by text queries"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("embeddings", type=path_arguments.local, metavar="EMB.npz", help="output of embed")
    parser.add_argument("queries", nargs="+", metavar="QUERY", help='text, for example "a video of a dog"')
    shared_model.arguments(parser)
    parser.add_argument(
        "--tokenizer",
        metavar="FILE",
        help="SentencePiece model of the text tower (default: the tokenizer of the stage)",
    )
    parser.add_argument("--top", type=int, default=10, help="results per query (default: %(default)s)")
    parser.add_argument(
        "--html", type=path_arguments.local, metavar="PAGE", help="write an HTML page with thumbnails"
    )


def run(options: argparse.Namespace) -> int:
    """Print the ranking and write the page."""
    import numpy as np

    from prismlab.core.io import filesystem
    from prismlab.data.loader import tokenizer
    from prismlab.experiments import console
    from prismlab.experiments.released import embedding, embedding_archive, search_html
    from prismlab.experiments.store import work_directory

    address_space.check()
    if options.top < 1:
        raise errors.UserError(f"--top must be at least 1, got {options.top}")
    found = embedding_archive.read(options.embeddings)
    model, digest = shared_model.load(options)
    if digest != found.weights_sha256:
        raise errors.UserError(
            f"{options.embeddings} was made with other weights (of {found.model}); use the same weights"
        )
    own = model.tokenizer if options.tokenizer is None else tokenizer.Tokenizer(model=options.tokenizer)
    if own is None:
        raise errors.UserError(f"{model.name} has no tokenizer of its own; give --tokenizer FILE")
    encode = own.prepare(work_directory.default_cache())
    ids, paddings = map(np.stack, zip(*(encode(query) for query in options.queries)))
    vectors = embedding.texts(model.model, ids, paddings)
    if vectors.shape[1] != found.vectors.shape[1]:
        raise errors.UserError(
            f"{options.embeddings}: expected vectors of {vectors.shape[1]} numbers, as the model gives for "
            f"text, found {found.vectors.shape[1]}; run prismlab embed again"
        )
    scores = vectors @ found.vectors.T.astype(np.float32)
    ranked = {}
    out = console.make_console()
    for query, row in zip(options.queries, scores):
        # A video is ranked by its best window; ties keep the input order.
        best: dict[str, int] = {}
        for index in np.argsort(-row, kind="stable"):
            best.setdefault(found.path[index], int(index))
        ranked[query] = [(index, float(row[index])) for index in list(best.values())[: options.top]]
        console.say(out, query)
        for place, (index, score) in enumerate(ranked[query], 1):
            console.say(
                out, f"{place:4}. {score:7.4f}  {search_html.span(found, index)}  {found.path[index]}"
            )
    if options.html is not None:
        note = (
            f"{len(set(found.path))} videos in {len(found.path)} windows, model {found.model}; "
            "cosine similarity of the best window of each video."
        )
        filesystem.write_atomic(options.html, search_html.page(found, ranked, note).encode())
        console.say(out, f"written: {options.html}")
    return 0
