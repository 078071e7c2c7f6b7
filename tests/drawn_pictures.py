"""A folder of small drawn pictures for tests: discs, bars and triangles on a noisy ground."""

import numpy as np
from PIL import Image, ImageDraw

KINDS = ("bars", "disc", "triangle")


def draw(kind, seed):
    """Return a picture of 64 x 48 pixels; place and colour follow from the seed."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(60, 110, (48, 64, 3), dtype=np.uint8))
    pen = ImageDraw.Draw(image)
    x, y = int(random.integers(14, 34)), int(random.integers(6, 18))
    colour = tuple(int(value) for value in random.integers(170, 255, 3))
    if kind == "disc":
        pen.ellipse((x, y, x + 24, y + 24), fill=colour)
    elif kind == "bars":
        for i in range(0, 25, 6):
            pen.line((x, y + i, x + 24, y + i), fill=colour, width=2)
    else:
        pen.polygon([(x, y + 24), (x + 12, y), (x + 24, y + 24)], outline=colour)
    return image


def draw_folder(root, n=8, free=3, kinds=KINDS):
    """Write n pictures of each kind, and some without a label; return the folder."""
    for number, kind in enumerate(kinds):
        (root / kind).mkdir(parents=True)
        (root / "unlabelled").mkdir(exist_ok=True)
        for i in range(n):
            draw(kind, 1000 * number + i).save(root / kind / f"{i}.{'png' if i % 2 else 'jpg'}")
        for i in range(free):
            draw(kind, 1000 * number + 500 + i).save(root / "unlabelled" / f"{kind}{i}.png")
    return root


def stripes(side):
    """Return 60 pictures, uint8 of shape `(60, 3, side, side)`, and the kind of each, 0 to 2.

    Stripes of three widths in random colours, under noise.
    """
    random, kinds = np.random.default_rng(0), np.repeat(np.arange(3), 20)
    waves = np.stack([np.sin(np.arange(side) / (1 + 2 * kind)) for kind in kinds])[:, None, :, None]
    colours = random.uniform(0.5, 1, (60, 3, 1, 1))
    pictures = 127 + 80 * waves * colours + random.normal(0, 20, (60, 3, side, side))
    return pictures.clip(0, 255).astype(np.uint8), kinds
