"""Worker process of `encoder_speed`: runs one model on request.

May run in the interpreter of another environment, so `peer` does not import prismlab. The first line of
stdin is the job as JSON; for each further line the worker runs the model once and prints the seconds and the
peak memory of the process as JSON.
"""

import json
import sys
import time


def _peak_bytes() -> int:
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def ours(job: dict):
    """Return a function that runs the prismlab model once and returns its output."""
    import equinox as eqx
    import jax.numpy as jnp
    import numpy as np

    from prismlab.core.nn import attention
    from prismlab.core.weights import released

    if job["whole"]:
        attention.LONG = sys.maxsize  # disable chunked attention
    model = released.load(job["config"], job["weights"], dtype=job["dtype"])
    video = jnp.asarray(np.load(job["video"]))

    def forward(model, video):
        if job["config"]["kind"] == "video_text":
            return released.embed(model, video)[0]
        return released.encode_video(model, video)[0]

    loss = lambda model, video: jnp.sum(jnp.square(forward(model, video).astype(jnp.float32)))
    run = eqx.filter_jit(forward if job["pass"] == "forward" else eqx.filter_grad(loss))

    def once():
        out = run(model, video)
        leaf = out if job["pass"] == "forward" else out_leaf(out)
        return np.asarray(leaf, np.float32)

    def out_leaf(grads):
        encoder = grads.video.encoder if job["config"]["kind"] == "video_text" else grads
        return encoder.patch_projection.bias

    return once


def peer(job: dict):
    """Return a function that runs the transformers model once and returns its output."""
    import numpy as np
    import torch
    import transformers

    torch.set_num_threads(job["threads"])
    kind = {"video_encoder": "VideoPrismVisionModel", "video_text": "VideoPrismClipModel"}
    model = getattr(transformers, kind[job["config"]["kind"]]).from_pretrained(
        job["folder"], attn_implementation="eager", dtype=getattr(torch, job["dtype"])
    )
    model.eval()
    video = torch.from_numpy(np.load(job["video"])).permute(0, 1, 4, 2, 3).contiguous()
    video = video.to(getattr(torch, job["dtype"]))

    def forward(video):
        if job["config"]["kind"] == "video_text":
            return model.get_video_features(video).pooler_output
        return model(video).last_hidden_state

    if job["compile"]:
        forward = torch.compile(forward)

    def once():
        if job["pass"] == "forward":
            with torch.inference_mode():
                return forward(video).float().numpy()
        model.zero_grad(set_to_none=True)
        forward(video).float().square().sum().backward()
        encoder = model.video_model.vision_model if job["config"]["kind"] == "video_text" else model
        return encoder.spatial_embeddings.patch_embeddings.projection.bias.grad.float().numpy()

    return once


def main() -> None:
    """Serve requests until stdin is closed."""
    import numpy as np

    answers = sys.stdout
    sys.stdout = sys.stderr
    job = json.loads(sys.stdin.readline())
    once = {"ours": ours, "peer": peer}[job["who"]](job)
    for _ in sys.stdin:
        start = time.perf_counter()
        out = once()
        seconds = time.perf_counter() - start
        np.save(job["output"], out)
        print(json.dumps({"seconds": seconds, "peak": _peak_bytes()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
