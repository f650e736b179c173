# mypy: ignore-errors
"""Writes this folder's checkpoint with TensorFlow itself: a GPT-2 of 2 blocks, width 4, 11 tokens and 6 positions.

    python -m venv /tmp/tf && /tmp/tf/bin/pip install tensorflow-cpu==2.21.0 && /tmp/tf/bin/python make.py

Also writes `tensors.json`: each tensor's shape and numbers, as TensorFlow's own reader gives them back.
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).parent
BLOCKS, WIDTH, TOKENS, POSITIONS = 2, 4, 11, 6


def tensors():
    """Random numbers under the names and shapes of OpenAI's checkpoints."""
    draw = np.random.default_rng(123).standard_normal
    shapes = {"model/wte": (TOKENS, WIDTH), "model/wpe": (POSITIONS, WIDTH)}
    shapes |= {"model/ln_f/g": (WIDTH,), "model/ln_f/b": (WIDTH,)}
    linear = {"attn/c_attn": (1, 3), "attn/c_proj": (1, 1), "mlp/c_fc": (1, 4), "mlp/c_proj": (4, 1)}
    for block in range(BLOCKS):
        for name in ("ln_1", "ln_2"):
            shapes |= {f"model/h{block}/{name}/g": (WIDTH,), f"model/h{block}/{name}/b": (WIDTH,)}
        for name, (inputs, outputs) in linear.items():
            shapes[f"model/h{block}/{name}/w"] = (1, inputs * WIDTH, outputs * WIDTH)
            shapes[f"model/h{block}/{name}/b"] = (outputs * WIDTH,)
    return {name: draw(shape, dtype=np.float32) for name, shape in shapes.items()}


def main():
    prefix = str(FOLDER / "model.ckpt")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in tensors().items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, prefix, write_meta_graph=False, write_state=False)
    reader = tf.train.load_checkpoint(prefix)
    found = {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}
    content = {name: {"shape": list(value.shape), "values": value.ravel().tolist()} for name, value in found.items()}
    (FOLDER / "tensors.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
