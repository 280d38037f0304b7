"""Collectives within fusions: one that runs beside a chain of fusions counts once, by its own operands."""

from prismlab.experiments.plan import traffic

WRITTEN = {
    "GATHER": "all-gather(%p), replica_groups=mesh['x'=2,'y'=128] {'y'}, dimensions={0}, "
    'frontend_attributes={chain_id="27"}',
    "LINK_RESULTS": "(bf16[64,64], SHARD, WHOLE, WHOLE, u32[])",
    "SHARD": "bf16[1,11,1408]",
    "WHOLE": "bf16[128,11,1408]",
    "TARGET": "custom_call_target",
    "ALIAS": "output_to_operand_aliasing",
    "LINKED": "{{1}: (0, {}), {2}: (1, {}), {3}: (1, {}), {4}: (2, {})}",
}
# A gather of 11 rows from 128 chips runs beside one product, as the TPU compiler writes it (v5e:16x16).
CHAINED = """HloModule jit_step

%begin (p: SHARD) -> (SHARD, WHOLE, u32[]) {
  %p = SHARD{2,1,0:T(8,128)(2,1)} parameter(0)
  %g = WHOLE{2,1,0:T(8,128)(2,1)} GATHER
  ROOT %s = (SHARD, WHOLE, u32[]) custom-call(%g), TARGET="AsyncCollectiveStart"
}

%link (p: SHARD, b: WHOLE, s: u32[], x: bf16[40,64,64], i: s32[]) -> LINK_RESULTS {
  %p = SHARD{2,1,0:T(8,128)(2,1)} parameter(0)
  %b = WHOLE{2,1,0:T(8,128)(2,1)} parameter(1)
  %s = u32[] parameter(2)
  %x = bf16[40,64,64] parameter(3)
  %i = s32[] parameter(4)
  %layer = bf16[1,64,64] dynamic-slice(%x, %i), dynamic_slice_sizes={1,64,64}
  %flat = bf16[64,64] bitcast(%layer)
  %y = bf16[64,64] dot(%flat, %flat), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %g = WHOLE{2,1,0:T(8,128)(2,1)} GATHER
  ROOT %t = LINK_RESULTS tuple(%y, %p, %b, %g, %s)
}

%end (p: SHARD, b: WHOLE, s: u32[]) -> WHOLE {
  %p = SHARD{2,1,0:T(8,128)(2,1)} parameter(0)
  %b = WHOLE{2,1,0:T(8,128)(2,1)} parameter(1)
  %s = u32[] parameter(2)
  %g = WHOLE{2,1,0:T(8,128)(2,1)} GATHER
  ROOT %d = WHOLE custom-call(%p, %b, %g, %s), TARGET="AsyncCollectiveDone"
}

ENTRY %main (w: SHARD, x: bf16[40,64,64], n: s32[]) -> WHOLE {
  %w = SHARD{2,1,0:T(8,128)(2,1)} parameter(0)
  %x = bf16[40,64,64] parameter(1)
  %n = s32[] parameter(2)
  %start = (SHARD, WHOLE, u32[]) fusion(%w), kind=kCustom, ALIAS={{0}: (0, {})}, calls=%begin
  %p = SHARD get-tuple-element(%start), index=0
  %b = WHOLE get-tuple-element(%start), index=1
  %s = u32[] get-tuple-element(%start), index=2
  %f = LINK_RESULTS fusion(%p, %b, %s, %x, %n), kind=kOutput, ALIAS=LINKED, calls=%link
  %q = SHARD get-tuple-element(%f), index=1
  %c = WHOLE get-tuple-element(%f), index=3
  %z = u32[] get-tuple-element(%f), index=4
  ROOT %done = WHOLE fusion(%q, %c, %z), kind=kCustom, ALIAS={{}: (1, {})}, calls=%end
}
"""
for _short, _long in WRITTEN.items():
    CHAINED = CHAINED.replace(_short, _long)
SHARD, LAYER = 2 * 11 * 1408, 2 * 64 * 64


def test_a_collective_beside_a_chain_of_fusions_counts_once():
    found = traffic.read(CHAINED)
    assert found.collectives == {"all-gather": (1, SHARD * 127)}
    # The start writes the gathered array and a number, the product reads a layer and its index and writes as
    # much, and the end reads the shard and the number. All other buffers are handed on.
    assert found.memory == (128 * SHARD + 4) + (2 * LAYER + 4) + (SHARD + 4)


SCATTER = """HloModule jit_step

%sum (a: bf16[], b: bf16[]) -> bf16[] {
  %a = bf16[] parameter(0)
  %b = bf16[] parameter(1)
  ROOT %s = bf16[] add(%a, %b)
}

%all-reduce-scatter (p: bf16[1408,1408]) -> bf16[16,1408] {
  %p = bf16[1408,1408] parameter(0)
  %zero = bf16[] constant(0)
  %padded = bf16[2048,1408] pad(%p, %zero), padding=0_640x0_0
  %whole = bf16[2048,1408] all-reduce(%padded), replica_groups=[2,128]<=[256], to_apply=%sum
  %i = s32[] constant(0)
  ROOT %mine = bf16[16,1408] dynamic-slice(%whole, %i, %i), dynamic_slice_sizes={16,1408}
}

ENTRY %main (w: bf16[1408,1408]) -> bf16[16,1408] {
  %w = bf16[1408,1408] parameter(0)
  ROOT %f = bf16[16,1408] fusion(%w), kind=kCustom, calls=%all-reduce-scatter
}
"""


def test_a_collective_within_a_fusion_counts_by_its_own_operands_and_groups():
    found = traffic.read(SCATTER)
    assert found.collectives == {"reduce-scatter": (1, 2 * 2048 * 1408 * 127 / 128)}
