"""Worker process of `encoder_speed`: runs one model on request.

May run in the interpreter of another environment, so `peer` does not import prismlab. The first line of
stdin is the job as JSON; for each further line the worker runs the model once and prints the seconds, the
processor seconds and the peak memory as JSON: that of the accelerator if there is one, else that of the
process. The time ends when the output is complete on the device; copying it to the host is not counted.
The output is a file of named arrays: the tokens, or the gradients of the sum of their sines (that of their
squares is constant behind a layer norm) under the names of transformers.
"""

import importlib
import json
import sys
import time

PATCH_BIAS = "spatial_embeddings.patch_embeddings.projection.bias"


def _process_peak() -> int:
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def _jax_peak() -> int:
    import jax

    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use") or _process_peak()


def ours(job: dict):
    """Return functions that run the prismlab model once, copy its output to the host and read peak memory."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import numpy as np

    from prismlab.core.nn import attention
    from prismlab.core.weights import release_config, released, weight_formats

    attention.LONG = job["long"] or attention.LONG
    model = released.load(job["config"], job["weights"], dtype=job["dtype"], remat=job["remat"])
    video = jnp.asarray(np.load(job["video"]))

    def forward(model, video):
        if job["config"]["kind"] == "video_text":
            return released.embed(model, video)[0]
        return released.encode_video(model, video)[0]

    loss = lambda model, video: jnp.sum(jnp.sin(forward(model, video).astype(jnp.float32)))
    run = eqx.filter_jit(forward if job["pass"] == "forward" else eqx.filter_grad(loss))

    def once():
        return jax.block_until_ready(run(model, video))

    def fetch(out):
        if job["pass"] == "forward":
            return {"output": np.asarray(out, np.float32)}
        config = release_config.checked(job["config"])
        return weight_formats.arrays(weight_formats.HUGGING_FACE, config, out)

    return once, fetch, _jax_peak


def official(job: dict):
    """Return the same functions for the public Flax code, whose folder the user names."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    sys.path.insert(0, job["official"])
    base = importlib.import_module("base")
    module = base.build(job["dtype"])
    params = base.params_from(job["npz"])
    video = jnp.asarray(np.load(job["video"])).astype(module.fprop_dtype)  # the official code does not cast

    def forward(params, video):
        out = module.apply(params, video, train=False)
        return out[0] if isinstance(out, tuple) else out

    loss = lambda params, video: jnp.sum(jnp.sin(forward(params, video).astype(jnp.float32)))
    run = jax.jit(forward if job["pass"] == "forward" else jax.grad(loss))

    def once():
        return jax.block_until_ready(run(params, video))

    def fetch(out):
        if job["pass"] == "forward":
            return {"output": np.asarray(out, np.float32)}
        return {PATCH_BIAS: np.asarray(out["params"]["patch_projection"]["linear"]["bias"], np.float32)}

    return once, fetch, _jax_peak


def peer(job: dict):
    """Return the same functions for the transformers model."""
    import numpy as np
    import torch
    import transformers

    torch.set_num_threads(job["threads"])
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as JAX by default; no effect on a CPU
    gpu = torch.cuda.is_available()
    kind = {"video_encoder": "VideoPrismVisionModel", "video_text": "VideoPrismClipModel"}
    model = getattr(transformers, kind[job["config"]["kind"]]).from_pretrained(
        job["folder"], attn_implementation="eager", dtype=getattr(torch, job["dtype"])
    )
    model.eval().to("cuda" if gpu else "cpu")
    video = torch.from_numpy(np.load(job["video"])).permute(0, 1, 4, 2, 3).contiguous()
    video = video.to("cuda" if gpu else "cpu", getattr(torch, job["dtype"]))

    def forward(video):
        if job["config"]["kind"] == "video_text":
            return model.get_video_features(video).pooler_output
        return model(video).last_hidden_state

    if job["compile"]:
        forward = torch.compile(forward)

    def run():
        if job["pass"] == "forward":
            with torch.inference_mode():
                return forward(video)
        model.zero_grad(set_to_none=True)
        forward(video).float().sin().sum().backward()
        return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}

    def once():
        out = run()
        if gpu:
            torch.cuda.synchronize()
        return out

    def peak():
        return torch.cuda.max_memory_allocated() if gpu else _process_peak()

    def fetch(out):
        named = out if isinstance(out, dict) else {"output": out}
        return {name: each.float().cpu().numpy() for name, each in named.items()}

    return once, fetch, peak


def main() -> None:
    """Serve requests until stdin is closed."""
    import numpy as np

    answers = sys.stdout
    sys.stdout = sys.stderr
    job = json.loads(sys.stdin.readline())
    once, fetch, peak = {"ours": ours, "official": official, "peer": peer}[job["who"]](job)
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        out = once()
        seconds, used = time.perf_counter() - start, time.process_time() - used
        np.savez(job["output"], **fetch(out))
        del out
        print(json.dumps({"seconds": seconds, "processor": used, "peak": peak()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
