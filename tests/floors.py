"""What each room may import: the floors that `test_floors.py` holds."""

# What core holds for rooms that must not start jax.
LIGHT = ("core", "core.io")
# Room -> the rooms it may import from, besides itself; files directly in a room count as that room.
CORE = ("core", "core.io", "core.parallel", "core.nn", "core.towers", "core.events", "core.train")
VIDEO = ("data.video.presentation", "data.video.containers", "data.video")
LOADER = ("data", "data.records", *VIDEO, "data.world", "data.loader")
RECIPES = tuple(f"experiments.recipe{each}" for each in ("", ".addresses", ".checks"))
RECIPE = ("experiments", "experiments.released", *RECIPES)
RUN = (*RECIPE, "experiments.gin_strict", "experiments.cost", "experiments.statistics", "experiments.report")
STORED = ("experiments.certificate", "experiments.store")
TRAIN = ("core.train.steps", "core.train.checkpoints", "core.train.loops")
BELOW_RUN = (*CORE, *TRAIN, "core.weights", *LOADER)
READERS = ("classification", "localisation", "science", "text", "rendered_world")
READERS = ("readers", *(f"readers.{each}" for each in READERS))
METRICS = ("metrics", "metrics.ranking", "metrics.answers", "metrics.detection")
TASK_ROOMS = ("interface", *METRICS, *READERS, "features", "heads", "heads.localisation", "language")
READER = ("experiments.tasks.interface", "experiments.tasks.readers")
METRIC = ("experiments.tasks.interface", "experiments.tasks.metrics")
BENCH = (
    *BELOW_RUN, *RUN, "experiments.tasks", *(f"experiments.tasks.{room}" for room in TASK_ROOMS),
    "experiments.store", "experiments.run",
)  # fmt: skip
COMMAND = (
    *BELOW_RUN, *RUN, "experiments.encoders", "experiments.preview", "experiments.results", "experiments.run",
    "experiments.store",
)  # fmt: skip
FLOORS = {
    "core": (),
    "core.io": ("core",),
    "core.parallel": ("core", "core.io"),
    "core.nn": CORE[:3],
    "core.towers": CORE[:4],
    "core.events": LIGHT,
    "core.language": CORE[:4],
    "core.train": CORE[:4],
    "core.train.steps": (*CORE[:4], "core.train"),
    "core.train.checkpoints": (*CORE[:4], "core.train", *TRAIN[:1]),
    "core.train.loops": (*CORE, *TRAIN[:2]),
    "core.weights": (*CORE, *TRAIN),
    "objectives": CORE,
    "data": LIGHT,
    "data.records": LIGHT,
    "data.video.presentation": LIGHT,
    "data.video.containers": (*LIGHT, "data.video.presentation"),
    "data.video": (*LIGHT, "data.records", *VIDEO[:2]),
    "data.world": (*LIGHT, "data", "data.records", "data.video"),
    "data.corpus": (*LIGHT, "data", "data.records", *VIDEO, "data.world", "data.corpus.inputs"),
    "data.corpus.inputs": (*LIGHT, "data.records", *VIDEO),
    "data.loader": (*LIGHT, *LOADER),
    "experiments.released": (*BELOW_RUN, "experiments"),
    "experiments.statistics": (*BELOW_RUN, "experiments"),
    "experiments.report": (*BELOW_RUN, "experiments", "experiments.statistics"),
    "experiments.report.evaluation_page": (*BELOW_RUN, "experiments", "experiments.report"),
    "experiments.gin_strict": (*LIGHT, "experiments"),
    "experiments.recipe": (*BELOW_RUN, *RECIPE[:2], "experiments.gin_strict"),
    "experiments.recipe.addresses": (*BELOW_RUN, *RECIPE[:3], "experiments.gin_strict"),
    "experiments.recipe.checks": (*BELOW_RUN, *RECIPE[:4]),
    "experiments.cost": (*BELOW_RUN, *RECIPE),
    "experiments.tasks.interface": (*BELOW_RUN, *RECIPE),
    "experiments.tasks.metrics": (*LIGHT, "experiments.tasks.interface"),
    **{f"experiments.tasks.{room}": (*LIGHT, *METRIC) for room in METRICS[1:]},
    "experiments.tasks.readers": (
        *LIGHT, *LOADER, "data.corpus.inputs", "experiments.tasks.interface",
    ),
    "experiments.tasks.readers.classification": (*LIGHT, *READER),
    "experiments.tasks.readers.localisation": (*LIGHT, *READER),
    "experiments.tasks.readers.science": (*LIGHT, *READER, "experiments.tasks.readers.localisation"),
    "experiments.tasks.readers.text": (*LIGHT, *READER, "experiments.tasks.readers.classification"),
    "experiments.tasks.readers.rendered_world": (*LIGHT, *LOADER, *READER),
    "experiments.tasks.features": (*BELOW_RUN, *RECIPE, "experiments.tasks.interface"),
    "experiments.tasks.heads": (
        *BELOW_RUN, "experiments.recipe", "experiments.tasks.interface", "experiments.tasks.features",
    ),
    "experiments.tasks.heads.localisation": (
        *BELOW_RUN, "experiments.recipe",
        *(f"experiments.tasks.{room}" for room in ("interface", "features", "heads")),
    ),
    "experiments.tasks.language": (
        *BELOW_RUN, *RECIPE, "core.language",
        *(f"experiments.tasks.{room}" for room in ("interface", *METRICS, "features", "heads")),
    ),
    "experiments.tasks": (
        *BELOW_RUN, *RECIPE, *(f"experiments.tasks.{room}" for room in TASK_ROOMS),
    ),
    "experiments.tasks.evaluations": (
        *BELOW_RUN, *RECIPE, "experiments.gin_strict", "experiments.tasks",
        *(f"experiments.tasks.{room}" for room in TASK_ROOMS),
    ),
    "experiments.monitors": (*LIGHT, *LOADER),
    "experiments.certificate": (*BELOW_RUN, *RUN),
    "experiments.store": (*BELOW_RUN, *RUN),
    "experiments.preview": (*BELOW_RUN, *RUN, *STORED),
    "experiments.results": (*BELOW_RUN, *RUN, *STORED),
    "experiments.run": (
        *BELOW_RUN, *RUN, *STORED, "experiments.tasks", "experiments.preview", "experiments.results",
    ),
    "experiments.encoders": (
        *BELOW_RUN, *RUN, *STORED, "experiments.report.evaluation_page", "experiments.tasks",
        "experiments.tasks.evaluations", "experiments.run",
    ),
    "experiments.verification": (*BELOW_RUN, *RUN, *STORED, "experiments.run"),
    "experiments.plan": (*BELOW_RUN, *RUN),
    "experiments.launch": (
        *BELOW_RUN, *RUN, "experiments.store", "experiments.preview", "experiments.run", "experiments.plan",
    ),
    "experiments.launch.engines": (
        *BELOW_RUN, *RUN, "experiments.launch", "experiments.plan", "experiments.store",
    ),
    "experiments.bench": BENCH,
    "experiments.bench.encoder": (*BELOW_RUN, *RUN),
    "experiments.bench.loading": (*BELOW_RUN, *RUN),
    "experiments.bench.ablation": (*BENCH, "experiments.plan"),
    "experiments.kit": (*BELOW_RUN, *RECIPE, "experiments.tasks"),
    "experiments.commands": COMMAND,
    "experiments.commands.recipes": (
        *COMMAND, "experiments.commands", "experiments.kit", "experiments.launch", "experiments.plan",
    ),
    "experiments.commands.stored": (
        *COMMAND, "experiments.certificate", "experiments.commands", "experiments.verification",
    ),
    "experiments.commands.encoders": (
        *COMMAND, "experiments.commands", "experiments.report.evaluation_page",
        "experiments.tasks.evaluations",
    ),
    "experiments.commands.corpus": (*COMMAND, "experiments.commands", "data.corpus"),
    "experiments": (*LIGHT, "experiments.commands"),
}  # fmt: skip
