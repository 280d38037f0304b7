"""Captions and labels of clips: one rule for JSON files, tables and tars.

- A caption is text, without spaces around it. A missing caption, null or NaN is an empty one, which is
  refused later; a number, list or object in its place is refused here.
- Labels are all other values that are not null. NaN and infinity, which JSON does not have, count as null.
  Values of tables without a JSON form (dates, decimals) become text. Deeper nesting than DEEPEST is refused.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

DEEPEST = 100  # levels of lists and objects; Python's own functions for nested values recurse
MOST_TEXT_BYTES = 1 << 20
# Files beside a clip that may hold its caption, preferred first.
TEXTS = (".txt", ".caption")
ENDINGS = (*TEXTS, ".json")


def read(values: Mapping[str, Any], captions: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the caption and the labels of a clip.

    Args:
        values: fields by name.
        captions: names of the fields that may hold the caption; the first that is present and not null does.

    Raises:
        ValueError: the caption is not text, or a label is nested too deeply.
    """
    check_depth(values)
    plain = {str(name): _plain(value) for name, value in values.items()}
    found = [plain[name] for name in captions if plain.get(name) is not None]
    if found and not isinstance(found[0], str):
        raise ValueError(f"expected a caption that is text, got {json.dumps(found[0])[:60]}")
    labels = {name: value for name, value in plain.items() if value is not None and name not in captions}
    return (found[0].strip() if found else ""), labels


def beside(files: Mapping[str, bytes], captions: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the caption and the labels from the files beside a clip.

    Args:
        files: ending -> content. A file in TEXTS is the caption; of a .json file, see `read`.
        captions: fields of the .json file that may hold the caption, if there is no text file.

    Raises:
        ValueError: a file is too large or not UTF-8, or the JSON is not an object or breaks the rule.
    """
    for ending in ENDINGS:
        if len(files.get(ending, b"")) > MOST_TEXT_BYTES:
            raise ValueError(f"expected at most {MOST_TEXT_BYTES} bytes of {ending}, got more")
    caption, labels = read(parse(files[".json"]), captions) if ".json" in files else ("", dict[str, Any]())
    texts = [files[ending] for ending in TEXTS if ending in files]
    return (_text(texts[0]).strip() if texts else caption), labels


def parse(data: bytes) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        ValueError: the data is not UTF-8, not JSON, not an object, or nested too deeply.
    """
    try:
        found = json.loads(_text(data))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"expected a caption in UTF-8 and JSON, got '{error}'") from None
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, got {json.dumps(found)[:60]}")
    check_depth(found)
    return found


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a caption in UTF-8, got the byte 0x{data[error.start]:02x}") from None


_TOO_DEEP = f"expected at most {DEEPEST} levels of nesting, got more"


def check_depth(value: Any) -> None:
    """Check the nesting of lists and objects, without recursion.

    Raises:
        ValueError: there are more levels than DEEPEST.
    """
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            item
            for each in level
            if isinstance(each, Mapping | list | tuple)
            for item in (each.values() if isinstance(each, Mapping) else each)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return str(value)
