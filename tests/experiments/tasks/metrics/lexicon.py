"""Write small databases in the format of WordNet for tests."""

import pathlib

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}


def write(folder: pathlib.Path, above: dict[str, list[str]], exceptions: str = "") -> str:
    """Write a database of one-word synsets and return its folder.

    Args:
        folder: where.
        above: "word.n" or "word.v" -> its hypernyms, in any order.
        exceptions: content of noun.exc.
    """
    places = {name: 100 + 10 * number for number, name in enumerate(above)}
    for part, letter in PARTS.items():
        own = [name for name in above if name.endswith(f".{letter}")]
        data, index = ["  1 a licence line"], ["  1 a licence line"]
        for name in own:
            ups = [f"@ {places[up]:08d} {up[-1]} 0000" for up in above[name]]
            pointers = " ".join([f"{len(ups):03d}", *ups])
            data.append(f"{places[name]:08d} 03 {letter} 01 {name[:-2]} 0 {pointers} | a gloss | of {name}")
            index.append(f"{name[:-2]} {letter} 1 1 @ 1 0 {places[name]:08d}  ")
        (folder / f"data.{part}").write_text("\n".join(data) + "\n")
        (folder / f"index.{part}").write_text("\n".join(index) + "\n")
        (folder / f"{part}.exc").write_text(exceptions if part == "noun" else "")
    return str(folder)


ANIMALS = {
    "thing.n": [], "animal.n": ["thing.n"], "dog.n": ["animal.n"], "cat.n": ["animal.n"],
    "box.n": ["thing.n"], "man.n": ["animal.n"], "move.v": [], "run.v": ["move.v"], "dog.v": ["run.v"],
}  # fmt: skip
