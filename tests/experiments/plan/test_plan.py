"""Planning: topologies, counts of operations, memory, time and cost, and what the compiler's text says."""

import json
import pathlib

import cli
import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from prismlab.core import errors
from prismlab.core.nn import transformer_stack
from prismlab.experiments import main
from prismlab.experiments.cost import abstract_step, chips, flops, peak_memory, roofline, variants
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.plan import choices, compiled, stage_plan, topology, traffic


def test_topologies_are_read_and_swept():
    found = topology.parse_all("v5p:4x4x8, gpu:h100x8,cpu,v5p:4x4x8")
    assert [(each.text, each.count, each.compiles) for each in found] == [
        ("v5p:4x4x8", 128, True), ("gpu:h100x8", 8, False), ("cpu", 1, False),
    ]  # fmt: skip
    swept = topology.sweep(found[0])
    assert [each.count for each in swept] == sorted(each.count for each in swept)
    assert found[0] in swept
    assert {each.chip.name for each in swept} == {"v5p"}
    gpus = topology.sweep(topology.parse("gpu:l40sx4"))
    assert [(each.text, each.count, each.chip.name) for each in gpus] == [
        ("gpu:l40s", 1, "l40s"), ("gpu:l40sx2", 2, "l40s"),
        ("gpu:l40sx4", 4, "l40s"), ("gpu:l40sx8", 8, "l40s"),
    ]  # fmt: skip


def test_every_gpu_has_published_numbers_with_their_source():
    for name in topology.GPUS:
        chip = topology.parse(f"gpu:{name}").chip
        assert (chip.name, chip.platform) == (name, "cuda")
        assert chip.source.startswith("NVIDIA ")
        assert chip.float32 <= chip.bfloat16 / 1.9
        assert chip.link_rate < chip.memory_rate
    with pytest.raises(errors.UserError, match="'gpu:rtx409' is unknown; did you mean gpu:rtx4090"):
        topology.parse("gpu:rtx409")


def test_unknown_topologies_are_told_all_at_once_with_the_list():
    with pytest.raises(errors.UserError) as told:
        topology.parse_all("v5p:4x4x9,tpu")
    lines = str(told.value).splitlines()
    assert len(lines) == 2
    assert "v5p:4x4x8" in lines[0].split("known topologies")[0]
    assert all(line.endswith(", ".join(topology.known())) for line in lines)


def _stack(remat: str):
    make = lambda key: transformer_stack.Stack(3, 16, 2, 64, remat=remat, key=key)
    tree = eqx.filter_eval_shape(make, jax.random.key(0))
    arrays, static = eqx.partition(tree, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    call = lambda arrays, x: jnp.sum(eqx.combine(arrays, static)(x))
    return call, arrays, jax.ShapeDtypeStruct((5, 7, 16), jnp.float32)


def test_operations_of_a_scanned_stack_are_those_of_its_formula():
    call, arrays, x = _stack("none")
    tokens, dim, hidden = 5 * 7, 16, 64
    layer = 2 * tokens * (4 * dim * dim + 2 * dim * hidden) + 2 * 2 * tokens * 7 * dim
    forward = flops.products(jax.make_jaxpr(call)(arrays, x))
    assert forward == {"float32": 3 * layer}
    both = flops.products(jax.make_jaxpr(jax.grad(call, argnums=(0, 1)))(arrays, x))
    assert both == {"float32": 3 * 3 * layer}


def test_recomputation_costs_operations_and_saves_memory():
    found = {}
    for remat in ("none", "nothing_saveable"):
        call, arrays, x = _stack(remat)
        graph = jax.make_jaxpr(jax.grad(call))(arrays, x)
        found[remat] = sum(flops.products(graph).values()), peak_memory.peak(graph)
    assert 1.15 < found["nothing_saveable"][0] / found["none"][0] <= 4 / 3
    assert found["nothing_saveable"][1] < found["none"][1]


def test_of_a_choice_by_platform_the_branch_of_the_platform_counts():
    def chosen(x):
        twice = lambda x: (x @ x) @ x
        return jnp.sum(jax.lax.platform_dependent(x, cpu=lambda x: x @ x, default=twice))

    struct = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    # Backward, a product has two; the first of the two is computed again.
    for way, cpu, other in ((chosen, 1, 2), (jax.grad(jax.checkpoint(chosen)), 2, 5)):
        graph = abstract_step.without_dead(jax.make_jaxpr(way)(struct))
        for platform, count in (("cpu", cpu), ("tpu", other), ("cuda", other), (None, cpu)):
            assert flops.products(graph, platform) == {"float32": count * 2 * 64**3}, platform
            assert flops.product_bytes(graph, platform) == count * 3 * 64**2 * 4
        assert peak_memory.peak(graph, "cpu") <= peak_memory.peak(graph, "tpu") == peak_memory.peak(graph)
    forward = jax.make_jaxpr(chosen)(struct)
    assert peak_memory.peak(forward, "cpu") < peak_memory.peak(forward, "tpu")


def test_peak_holds_what_is_alive_and_no_more():
    def chain(x):
        first = x @ x
        second = first @ x
        return (second @ second).sum() + first.sum()

    graph = jax.make_jaxpr(chain)(jax.ShapeDtypeStruct((64, 64), jnp.float32))
    one = 64 * 64 * 4
    assert 3 * one <= peak_memory.peak(graph) < 3.1 * one


def test_the_roofline_is_its_slowest_resource():
    chip = chips.CHIPS["v5p"]
    roof = roofline.of(chip, {"bfloat16": 459e12}, {"bfloat16": 0.75 * 459e12}, 2765e9 / 2, 600e9 * 2)
    assert (roof.compute, roof.memory, roof.network) == pytest.approx((1.0, 0.5, 2.0))
    assert (roof.seconds, roof.limit, roof.mfu) == (2.0, "network", pytest.approx(0.375))


MODULE = """HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body (p: (s32[], bf16[4,8,128])) -> (s32[], bf16[4,8,128]) {
  %p = (s32[], bf16[4,8,128]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %stacked = bf16[4,8,128] get-tuple-element(%p), index=1
  %layer = bf16[1,8,128] dynamic-slice(%stacked, %i), dynamic_slice_sizes={1,8,128}
  %whole = bf16[1,64,128] all-gather(%layer), replica_groups=[2,8]<=[16], dimensions={1}
  ROOT %out = (s32[], bf16[4,8,128]) tuple(%i, %stacked)
}

%condition (p: (s32[], bf16[4,8,128])) -> pred[] {
  %p = (s32[], bf16[4,8,128]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %n = s32[] constant(4)
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (x: bf16[4,8,128], y: f32[1000]) -> f32[1000] {
  %x = bf16[4,8,128] parameter(0)
  %y = f32[1000] parameter(1)
  %zero = s32[] constant(0)
  %start = (s32[], bf16[4,8,128]) tuple(%zero, %x)
  %loop = (s32[], bf16[4,8,128]) while(%start), condition=%condition, body=%body
  ROOT %total = f32[1000]{0:T(256)} all-reduce(%y), replica_groups=GROUPS, to_apply=%add
}
"""


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("{{0,1,2,3}}", 4),
        ("[1,16]<=[16]", 16),
        ("mesh['a'=2,'b'=8] {'b'}", 8),
        ("mesh['a'=16] {'a':(2)8}", 8),
    ],
)
def test_collectives_count_as_often_as_their_loop_runs(groups, size):
    read = traffic.read(MODULE.replace("GROUPS", groups))
    layer = 8 * 128 * 2
    assert read.collectives == {
        "all-gather": (4, 4 * layer * 7),
        "all-reduce": (1, pytest.approx(2 * 4000 * (size - 1) / size)),
    }
    # A slice reads and writes the slice; the gather reads a layer and writes eight.
    assert read.memory == 4 * (2 * layer + 9 * layer) + 2 * 4000
    assert not read.rematerialised


def test_failures_of_the_compiler_are_one_line_that_says_what_to_change():
    text = (
        "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Used 53.10G of 15.75G hbm. Exceeded by 37.35G."
    )
    answer = compiled.understood({"error": f"JaxRuntimeError: {text}\nmore\nlines"})
    assert not answer.fits
    assert answer.bytes == pytest.approx(53.1 * 2**30)
    assert "more chips" in answer.problem
    late = {"error": "JaxRuntimeError: RESOURCE_EXHAUSTED: no room", "assigned": 20.0 * 2**30}
    assert not compiled.understood(late).fits
    assert compiled.understood(late).bytes == 20 * 2**30
    assert "20.0 GiB" in compiled.understood(late).problem
    strange = compiled.understood({"error": "JaxRuntimeError: INTERNAL: surprise\nline"})
    assert "surprise" in strange.problem
    assert "\n" not in strange.problem
    remat = compiled.understood({"assigned": 1, "rematerialised": ["Involuntary full rematerialization"]})
    assert not remat.fits
    assert "rematerialization" in remat.problem
    assert not compiled.understood({"stopped": 5.0}).fits


def test_a_price_table_is_checked(tmp_path: pathlib.Path):
    assert set(chips.prices(None)) <= set(chips.CHIPS)
    path = tmp_path / "prices.json"
    for text, told in (("[1]", "object"), ('{"v9": 1}', "v9"), ('{"v5p": "x"}', "v5p"), ("{", "read")):
        path.write_text(text)
        with pytest.raises(errors.UserError, match=told):
            chips.prices(path)


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main.main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.long
def test_the_command_plans_a_small_recipe(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    out, page = tmp_path / "plan.json", tmp_path / "plan.html"
    words = (cli.TINY, "recipe.Stage.batch_size=8", "--topology", "cpu,gpu:h100x8", "--stage", "stage2")
    code, shown, err = call(capsys, "plan", *words, "--json", out, "--html", page)
    assert code == 0, err
    plan = json.loads(out.read_text())
    assert {entry["topology"] for entry in plan["entries"]} == {"cpu", "gpu:h100x8"}
    for entry in plan["entries"]:
        assert entry["fits"]
        assert 0 < entry["bound"]["mfu"] <= 1
        assert set(entry["groups"]) == {"parameters", "optimizer", "teacher", "activations", "batch"}
        assert all(0 < each["mfu"] <= 1 for each in entry["choices"])
        assert [each["accumulate"] for each in entry["choices"] if each["configured"]] == [1]
        assert entry["groups"]["teacher"] > 0
        assert entry["cost"] == pytest.approx(entry["hours"] * {"cpu": 0.05}.get(entry["topology"], 3.0))
    assert "<script" not in page.read_text()
    assert "gpu:h100x8: fits" in shown


def test_a_batch_that_the_chips_do_not_divide_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]):
    code, _, err = call(capsys, "plan", cli.TINY, "recipe.Stage.batch_size=12", "--topology", "gpu:h100x8")
    assert code == 2
    assert "batch_size=12" in err
    assert "use 8 or 16" in err


def test_the_advice_for_a_step_that_does_not_fit_names_no_setting_that_is_set_already():
    stage = choices.jobs(strict.load(cli.TINY, []).root)[0].stage
    told = {
        remat: stage_plan.too_large(40 * 2**30, 16 * 2**30, variants.varied(stage, remat=remat))
        for remat in ("none", "nothing_saveable")
    }
    needs = "needs 40.0 of 16.0 GiB per chip; use more chips, a smaller batch"
    assert told["none"] == f"{needs}, a larger accumulate or remat='nothing_saveable'"
    assert told["nothing_saveable"] == f"{needs} or a larger accumulate"
