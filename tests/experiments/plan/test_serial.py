"""The serial estimate sums the slower resource of each operation."""

import pytest

from prismlab.core.nn import splash_attention
from prismlab.experiments.cost import chips
from prismlab.experiments.plan import serial, traffic

# A product bound by memory, and a fused batched product, which the TPU compiler writes as a convolution.
MODULE = """HloModule jit_step

%fused (a: bf16[12,256,64], b: bf16[12,256,64]) -> bf16[12,256,256] {
  %a = bf16[12,256,64]{2,1,0:T(8,128)(2,1)} parameter(0)
  %b = bf16[12,256,64]{2,1,0:T(8,128)(2,1)} parameter(1)
  ROOT %c = bf16[12,256,256]{2,1,0:T(8,128)(2,1)} convolution(%a, %b), WINDOW, dim_labels=0bf_0oi->0bf
}

ENTRY %main (x: bf16[8,4], y: bf16[4,16], a: bf16[12,256,64]) -> bf16[12,256,256] {
  %x = bf16[8,4]{1,0:T(8,128)(2,1)} parameter(0)
  %y = bf16[4,16]{1,0:T(8,128)(2,1)} parameter(1)
  %a = bf16[12,256,64]{2,1,0:T(8,128)(2,1)} parameter(2)
  %d = bf16[8,16]{1,0:T(8,128)(2,1)} dot(%x, %y), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %f = bf16[12,256,256]{2,1,0:T(8,128)(2,1)} fusion(%a, %a), kind=kOutput, calls=%fused
}
"""
WINDOWS = (
    "window={size=12 stride=11 lhs_dilate=12}",
    "window={size=12 pad=11_11 rhs_reversal=1}",  # every window meets the 12 batches once in all
)
DOT, BATCHED = 2 * 8 * 16 * 4, 2 * 12 * 256 * 256 * 64


def test_each_operation_takes_its_slower_resource():
    chip = chips.CHIPS["v5p"]
    found = serial.read(MODULE.replace("WINDOW", WINDOWS[0]), chip)
    moved = 2 * (8 * 4 + 4 * 16 + 8 * 16), 2 * 12 * (2 * 256 * 64 + 256 * 256)
    assert found.operations == DOT + BATCHED
    times = [max(work / chip.bfloat16, size / chip.memory_rate) for work, size in zip((DOT, BATCHED), moved)]
    assert found.seconds == pytest.approx(sum(times))
    # Rows of 4, 16 and 64 lie in memory as 128, and 4 rows as 8.
    assert found.padded_bytes == 2 * (8 + 8 + 8) * 128 + 2 * 12 * (2 * 256 * 128 + 256 * 256)
    known = found.operations + 3 * chip.bfloat16
    assert serial.seconds_of(found, known, chip) == pytest.approx(found.seconds + 3)
    assert serial.seconds_of(found, 0.0, chip) == found.seconds


@pytest.mark.parametrize(
    ("window", "pairs"),
    [
        ((12, 12, 12, 0, 11, 12, 1), 12),
        ((1, 12, 12, 11, 1, 1, 1), 12),
        ((10, 3, 10, 1, 1, 1, 1), 28),
        ((10, 3, 5, 0, 2, 1, 1), 14),
        ((5, 2, 4, 0, 1, 1, 2), 7),
    ],
)
def test_positions_of_a_window_that_meet_the_input_are_counted(window, pairs):
    assert serial._pairs(*window) == pairs


def test_an_array_without_tiles_has_no_padding():
    plain = MODULE.replace("WINDOW", WINDOWS[0]).replace(":T(8,128)(2,1)", "")
    found = serial.read(plain, chips.CHIPS["v6e"])
    assert found.padded_bytes == traffic.read(plain).memory


CALLED = '%mask, %q, %q, %q), custom_call_target="tpu_custom_call", frontend_attributes={kernel_metadata={'
KERNELS = """HloModule jit_step

ENTRY %main (q: bf16[2,8,4096,64]) -> bf16[2,8,4096,64] {
  %q = bf16[2,8,4096,64]{3,2,1,0:T(8,128)(2,1)} parameter(0)
  %mask = s8[1,8,2]{2,1,0} constant({...})
  %splash_mha_fwd_residuals.1 = (f32[512,128]{1,0}, bf16[2,8,4096,64]{3,2,1,0}) custom-call(CALLED
"xprof_metadata":"{\\"block_q\\": 512}"
}}, metadata={op_name="splash_mha_fwd_residuals"}
  %out = bf16[2,8,4096,64]{3,2,1,0} get-tuple-element(%splash_mha_fwd_residuals.1), index=1
  ROOT %other = bf16[2,8,4096,64]{3,2,1,0} custom-call(%out), custom_call_target="elsewhere"
}
""".replace("CALLED", CALLED)


def test_the_kernel_of_attention_counts_by_its_formula():
    chip = chips.CHIPS["v5p"]
    found, one = serial.read(KERNELS, chip), 2 * 8 * 4096 * 64 * 2
    work = splash_attention.operations("fwd", 16, 4096, 64)
    assert found.operations == work == 2 * 2 * 16 * 4096**2 * 64
    # Operands and results once (the mask's 16 bytes are a constant), keys and values seven times more.
    moved = 16 + 3 * one + one + 512 * 128 * 4 + 14 * one
    assert traffic.read(KERNELS).memory == moved + 2 * one
    slower = max(work / chip.bfloat16, moved / chip.memory_rate)
    assert found.seconds == pytest.approx(slower + 2 * one / chip.memory_rate)


NESTED = """HloModule jit_step

%inner (p: bf16[40,64,128], i: s32[]) -> bf16[64,128] {
  %p = bf16[40,64,128] parameter(0)
  %i = s32[] parameter(1)
  %layer = bf16[1,64,128] dynamic-slice(%p, %i), dynamic_slice_sizes={1,64,128}
  ROOT %flat = bf16[64,128] bitcast(%layer)
}

%outer (q: bf16[40,64,128], j: s32[], w: bf16[128,32]) -> bf16[64,32] {
  %q = bf16[40,64,128] parameter(0)
  %j = s32[] parameter(1)
  %w = bf16[128,32] parameter(2)
  %one = bf16[64,128] fusion(%q, %j), kind=kLoop, calls=%inner
  ROOT %out = bf16[64,32] dot(%one, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

ENTRY %main (x: bf16[40,64,128], n: s32[], k: bf16[128,32]) -> bf16[64,32] {
  %x = bf16[40,64,128] parameter(0)
  %n = s32[] parameter(1)
  %k = bf16[128,32] parameter(2)
  ROOT %f = bf16[64,32] fusion(%x, %n, %k), kind=kOutput, calls=%outer
}
"""


def test_a_fusion_within_a_fusion_reads_only_the_layer_that_it_slices():
    read = 2 * (64 * 128 + 128 * 32 + 64 * 32) + 4  # and the number of the layer
    assert traffic.read(NESTED).memory == read
