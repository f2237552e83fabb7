# SPDX-License-Identifier: Apache-2.0
"""The models that the scripts in this folder train, small enough for a host."""
import random


class Model:
    """title: for people; model: of job.yaml; image: bytes of one, or None."""

    def __init__(self, title, model, image=None):
        self.title = title
        self.model = model
        self.image = image

    def job(self, steps, microbatches):
        # metrics of the first two steps are not used
        kind = "images" if self.image else "bytes"
        return (f"dawn: job/1\nmodel: {self.model}\n"
                f"data: {{train: data, format: {kind}}}\n"
                f"train: {{steps: {steps + 2}, microbatch: 1, microbatches: "
                f"{microbatches}, lr: 1.0e-4, seed: 1}}\nout: run\n")

    def write_data(self):
        """Any text of 2 MB, or any images."""
        if not self.image:
            with open("data", "w") as text:
                text.write("".join(f"{i}\n" for i in range(300000)))
            return
        draw = random.Random(1)
        with open("data", "wb") as images:
            for i in range(64):
                images.write(bytes([i % 10]) + draw.randbytes(self.image))


MODELS = {
    "gpt2": Model(
        "GPT-2, 8 layers of 256, 128 tokens, bf16",
        "{preset: gpt2, layers: 8, hidden: 256, heads: 8, context: 128,"
        " vocab: 256, dropout: 0.1, attention: fused, dtype: bf16}"),
    "bert": Model(
        "BERT, 8 layers of 256, 128 tokens, bf16",
        "{preset: bert, layers: 8, hidden: 256, heads: 8, context: 128,"
        " vocab: 512, dropout: 0.1, dtype: bf16}"),
    "t5": Model(
        "T5, 4 + 4 layers of 256, 256 tokens, bf16",
        "{preset: t5, layers: 4, hidden: 256, heads: 8, context: 256,"
        " vocab: 512, dropout: 0.1, dtype: bf16}"),
    "amoebanet": Model(
        "AmoebaNet-D, 6 normal cells, 64 filters, 64 x 64, bf16",
        "{preset: amoebanet, layers: 6, filters: 64, classes: 10, image: 64,"
        " dtype: bf16}", image=3 * 64 * 64),
}
