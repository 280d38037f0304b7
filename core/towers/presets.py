"""Model size presets: nano, tiny, small, and VideoPrism base, large and giant."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of a video tower and its text tower: widths, heads and layer counts.

    Args:
        dim: token width.
        heads: number of attention heads; must divide dim.
        mlp_dim: hidden width of the video tower's feed-forward layers (the text tower uses 4 * dim).
        spatial_layers: number of layers that attend within a frame.
        temporal_layers: number of layers that attend over time at each location.
        text_layers: number of layers of the text tower.

    Source: VideoPrism, Table 9 and appendix B; widths of base and large from the public release.
    """

    dim: int
    heads: int
    mlp_dim: int
    spatial_layers: int
    temporal_layers: int
    text_layers: int


def nano() -> Size:
    """Return the size for smoke tests: seconds on a laptop."""
    return Size(dim=64, heads=2, mlp_dim=256, spatial_layers=2, temporal_layers=1, text_layers=1)


def tiny() -> Size:
    """Return the size for ablations on one small machine."""
    return Size(dim=128, heads=4, mlp_dim=512, spatial_layers=3, temporal_layers=2, text_layers=2)


def small() -> Size:
    """Return the size for one accelerator."""
    return Size(dim=384, heads=6, mlp_dim=1536, spatial_layers=6, temporal_layers=2, text_layers=4)


def base() -> Size:
    """Return VideoPrism-B: 114,365,184 parameters in the video encoder (16 frames)."""
    return Size(dim=768, heads=12, mlp_dim=3072, spatial_layers=12, temporal_layers=4, text_layers=12)


def large() -> Size:
    """Return VideoPrism-L: 353,965,056 parameters in the video encoder (8 frames)."""
    return Size(dim=1024, heads=16, mlp_dim=4096, spatial_layers=24, temporal_layers=4, text_layers=12)


def giant() -> Size:
    """Return VideoPrism-g: 1,112,755,072 parameters in the video encoder (8 frames)."""
    return Size(dim=1408, heads=16, mlp_dim=6144, spatial_layers=40, temporal_layers=4, text_layers=16)
