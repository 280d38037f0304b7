"""Modules that moved from a room of the package to a sub-room of it, and recorded names as they are now."""

from typing import Any

# Sub-room -> the modules that were in the room above it.
SUB_ROOMS = {
    "prismlab.core.train.checkpoints": "checkpoint checkpoint_items checksums retention stage_folder",
    "prismlab.core.train.loops": "co_training loop",
    "prismlab.core.train.steps": "accumulate objective_gradients step",
    "prismlab.data.video.containers": "container container_crop damage framing opening pictures tracks",
    "prismlab.data.video.presentation": "clock geometry rational",
    "prismlab.experiments.bench.encoder": "attention_speed encoder_speed encoder_worker program_memory",
    "prismlab.experiments.bench.loading": "loader_peer loader_speed",
    "prismlab.experiments.bench.ablation": (
        "checkpoint_cost co_training_cost compile_count evaluation_cost rerun_time"
    ),
    "prismlab.experiments.commands.corpus": "data_doctor data_prepare data_render data_show world",
    "prismlab.experiments.commands.encoders": "convert embed eval inspect models search",
    "prismlab.experiments.commands.recipes": "ablate check new plan run_unit train worker",
    "prismlab.experiments.commands.stored": "diff digest find gc pin report verify",
    "prismlab.experiments.launch.engines": (
        "dask dask_units gke jobsets local manifest slurm slurm_job unit_process"
    ),
    "prismlab.experiments.recipe.addresses": (
        "code_memory fingerprints initial_weights stage_configuration stage_names stages"
    ),
    "prismlab.experiments.recipe.checks": "check shapes",
    "prismlab.experiments.report.evaluation_page": (
        "earlier_scores evaluation_report example_pictures group_marks"
    ),
    "prismlab.experiments.tasks.evaluations": "catalog evaluation evaluation_file paper_scores",
    "prismlab.experiments.tasks.heads.localisation": (
        "box_query localisation_fit roi_align segment_pyramid soft_suppression spatial temporal"
    ),
    "prismlab.experiments.tasks.metrics.answers": "cider exact_match penn_words text_metric wordnet wups",
    "prismlab.experiments.tasks.metrics.detection": "detection_precision frame_precision temporal_precision",
    "prismlab.experiments.tasks.metrics.ranking": "median_rank ranks recall retrieved",
    "prismlab.experiments.tasks.readers.classification": "charades diving48 kinetics moments something",
    "prismlab.experiments.tasks.readers.localisation": (
        "activitynet ava ava_kinetics class_scores detections keyframes"
    ),
    "prismlab.experiments.tasks.readers.rendered_world": (
        "rendered rendered_boxes rendered_questions rendered_untrimmed"
    ),
    "prismlab.experiments.tasks.readers.science": "calms21 chimpact crim13 fly_vs_fly frame_windows kabr",
    "prismlab.experiments.tasks.readers.text": (
        "activitynet_paragraphs captions charades_sta clip_questions msrvtt nextqa nextqa_open "
        "something_subsets vatex video_qa youcook2"
    ),
}
# Module of an earlier version -> module now.
MOVED = {
    f"{room.rpartition('.')[0]}.{name}": f"{room}.{name}"
    for room, names in SUB_ROOMS.items()
    for name in names.split()
}


def current(name: str) -> str:
    """Return a dotted name of a module, or of what is in it, as it is now.

    Args:
        name: for example `prismlab.core.train.loop.Settings`; other texts are returned as they are.
    """
    parts = name.split(".") if name.startswith("prismlab.") else []
    for length in range(len(parts), 1, -1):
        new = MOVED.get(".".join(parts[:length]))
        if new is not None:
            return ".".join((new, *parts[length:]))
    return name


def renamed(tree: Any) -> Any:
    """Return recorded plain data (`describe.Tree`, inputs of an address) with all names as they are now.

    Args:
        tree: JSON data that this or an earlier version wrote; not changed.
    """
    if isinstance(tree, str):
        return current(tree)
    if isinstance(tree, dict):
        return {current(name): renamed(each) for name, each in tree.items()}
    return [renamed(each) for each in tree] if isinstance(tree, list) else tree
