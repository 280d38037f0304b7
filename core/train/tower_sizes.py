"""Sizes of towers from which objectives build their parameters."""

from collections.abc import Mapping

from prismlab.core import errors, types

Towers = Mapping[str, types.Tower]


def dims(towers: Towers, teacher: Towers | None) -> types.Dims:
    """Return the sizes that objectives need, read from the towers."""
    if "video" not in towers:
        raise errors.UserError(f"recipe.Stage.towers needs a tower named 'video'; it holds {sorted(towers)}")
    clip = _clip_tower(towers, "recipe.Stage.towers")
    frozen = _clip_tower(teacher, "the teacher") if teacher and "video" in teacher else clip
    text = towers.get("text")
    if text is not None and not isinstance(text, types.CaptionTower):
        raise errors.UserError(
            f"recipe.Stage.towers: 'text' is a {type(text).__name__} without `dim` or `vocabulary`; see "
            "types.CaptionTower"
        )
    if (frozen.frames, frozen.patches) != (clip.frames, clip.patches):
        raise errors.UserError(
            f"teacher and student must have the same token grid: the teacher has {frozen.frames} frames of "
            f"{frozen.patches} patches, the student {clip.frames} of {clip.patches}"
        )
    return types.Dims(
        frames=clip.frames,
        patches=clip.patches,
        patch_values=clip.patch**2 * 3,
        video_dim=clip.dim,
        teacher_dim=frozen.dim,
        text_dim=None if text is None else text.dim,
        vocabulary=None if text is None else text.vocabulary,
    )


def _clip_tower(towers: Towers, whose: str) -> types.ClipTower:
    tower = towers["video"]
    if isinstance(tower, types.ClipTower):
        return tower
    needed = ("dim", "frames", "patches", "patch", "resolution")
    missing = [name for name in needed if not hasattr(tower, name)]
    raise errors.UserError(
        f"{whose}: 'video' is a {type(tower).__name__} without {', '.join(missing)}; see types.ClipTower"
    )
