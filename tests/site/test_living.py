"""The living figures in a real browser: strokes, hover, clicks, slides and drags, and what they show.

They are those of the built site's page, by HTTP and from the disk, and those of a notebook with a kernel.
"""

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from conftest import WAYS, both, leaves
from conftest import serve as serve_folder
from playwright.sync_api import expect
from test_site import AXE

from metriclearn import load_images
from metriclearn.course.widgets import LIVING, MINERS, TripletPlayground, encoder
from metriclearn.losses import triplet_loss

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import living_data  # noqa: E402

# Ten digits as a hand draws them: strokes of points on a pad that is 1 wide and 1 high.
ARC = np.linspace(0, 2 * np.pi, 24)
DIGITS = {
    0: [[(0.5 + 0.2 * np.sin(t), 0.5 - 0.32 * np.cos(t)) for t in ARC]],
    1: [[(0.52, 0.18), (0.5, 0.5), (0.48, 0.82)]],
    2: [
        [
            (0.32, 0.32),
            (0.37, 0.21),
            (0.5, 0.17),
            (0.63, 0.24),
            (0.64, 0.38),
            (0.55, 0.53),
            (0.3, 0.8),
            (0.7, 0.8),
        ]
    ],
    3: [
        [
            (0.34, 0.24),
            (0.5, 0.17),
            (0.63, 0.26),
            (0.6, 0.4),
            (0.46, 0.47),
            (0.62, 0.55),
            (0.66, 0.68),
            (0.56, 0.8),
            (0.42, 0.82),
            (0.32, 0.76),
        ]
    ],
    4: [[(0.37, 0.2), (0.33, 0.52), (0.66, 0.52)], [(0.63, 0.2), (0.62, 0.52), (0.6, 0.83)]],
    5: [
        [
            (0.66, 0.18),
            (0.4, 0.18),
            (0.37, 0.45),
            (0.52, 0.43),
            (0.64, 0.52),
            (0.66, 0.66),
            (0.56, 0.79),
            (0.42, 0.82),
            (0.33, 0.76),
        ]
    ],
    6: [
        [
            (0.6, 0.18),
            (0.45, 0.3),
            (0.37, 0.5),
            (0.36, 0.68),
            (0.45, 0.81),
            (0.58, 0.8),
            (0.65, 0.69),
            (0.6, 0.57),
            (0.48, 0.55),
            (0.38, 0.64),
        ]
    ],
    7: [[(0.3, 0.2), (0.7, 0.2), (0.6, 0.42), (0.5, 0.62), (0.44, 0.83)]],
    8: [
        [
            (0.62, 0.28),
            (0.5, 0.18),
            (0.38, 0.28),
            (0.42, 0.42),
            (0.58, 0.54),
            (0.64, 0.68),
            (0.52, 0.82),
            (0.38, 0.72),
            (0.42, 0.56),
            (0.58, 0.42),
            (0.63, 0.3),
        ]
    ],
    9: [
        [
            (0.62, 0.32),
            (0.52, 0.2),
            (0.4, 0.26),
            (0.38, 0.4),
            (0.48, 0.48),
            (0.6, 0.42),
            (0.63, 0.28),
            (0.63, 0.5),
            (0.6, 0.68),
            (0.56, 0.83),
        ]
    ],
}


# The site's page.


# Voilà's own page template asks for icons, which our figures do not use.
VOILA_ICONS = "https://cdn.jsdelivr.net/npm/@fortawesome/"


@pytest.fixture
def open_page(browser):
    """Open pages that must log no error and must ask no other place for anything."""
    pages, complaints = [], []

    def open_at(url, **options):
        page = browser.new_context(**options).new_page()
        pages.append(page)
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: outside(request.url, url.rpartition("/")[0]))
        page.route(VOILA_ICONS + "**", lambda route: route.fulfill(body="", content_type="text/css"))
        page.goto(url, timeout=120_000)  # Voilà answers when the notebook has run
        return page

    def outside(url, folder):
        here = leaves(url, folder) and not re.match(r"(https?|ws)://(127\.0\.0\.1|localhost)[:/]", url)
        if here and not url.startswith(VOILA_ICONS):
            complaints.append(f"asks {url}")

    yield open_at
    for page in pages:
        page.context.close()
    assert complaints == []


@pytest.fixture(params=["http"])
def play(request, open_page, addresses):
    """Return the page with its three figures, from a server unless a test asks for more."""
    return loaded(open_page(f"{addresses[request.param]}/play.html"))


both_ways = pytest.mark.parametrize("play", WAYS, indirect=True)


def loaded(page):
    expect(page.locator("[data-state=ready]")).to_have_count(3)
    expect(page.locator(".living-missing")).to_have_count(0)
    return page


def draw(page, strokes):
    pad = page.locator(".living-pad canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def said(page):
    return page.locator(".living-draw .living-say").inner_text()


@both_ways
def test_thirty_drawn_digits(play):
    """All ten digits with three pens: at least 27 of 30 are recognised."""
    answers = []
    for pen in ("thin", "medium", "thick"):
        play.get_by_label("Width of the pen").select_option(pen)
        for digit, strokes in DIGITS.items():
            play.get_by_role("button", name="Clear").click()
            draw(play, strokes)
            answers.append((pen, digit, said(play)))
    wrong = [answer for answer in answers if answer[2] != f"This is a {answer[1]}."]
    print(f"{len(answers) - len(wrong)} of {len(answers)} recognised; not so:", wrong)
    assert len(answers) == 30
    assert len(wrong) <= 3, wrong


@both_ways
def test_the_pad_begins_with_a_digit_which_the_first_stroke_wipes_off(play):
    pad = play.locator(".living-pad canvas")
    expect(play.locator(".living-draw .living-say")).to_have_text("This is a 7.")
    expect(play.locator(".living-neighbours .living-image")).to_have_count(5)
    begun = pixels(pad)
    draw(play, DIGITS[1])
    assert said(play) == "This is a 1."
    play.get_by_role("button", name="Clear").click()
    assert pixels(pad) != begun


def test_a_letter_is_unknown_and_an_empty_pad_is_nothing(play):
    letter_n = [[(0.25, 0.8), (0.25, 0.2), (0.75, 0.8), (0.75, 0.2)]]
    for strange in (letter_n, [[(y, 1 - x) for x, y in stroke] for stroke in DIGITS[2]]):  # a 2 on its side
        play.get_by_role("button", name="Clear").click()
        draw(play, strange)
        assert said(play) == "Unknown: like nothing that is stored."
    expect(play.locator(".living-neighbours .living-image")).to_have_count(5)
    play.get_by_role("button", name="Clear").click()
    assert said(play) == "Nothing drawn yet."
    expect(play.locator(".living-neighbours .living-image")).to_have_count(0)


def test_drawing_with_keys(play):
    play.locator(".living-pad canvas").focus()
    for key in [*["ArrowUp"] * 10, " ", *["ArrowDown"] * 20, " "]:
        play.keyboard.press(key)
    assert said(play) == "This is a 1."


def test_drawing_with_a_finger(open_page, addresses):
    page = loaded(
        open_page(f"{addresses['file']}/play.html", has_touch=True, viewport={"width": 390, "height": 800})
    )
    page.locator(".living-pad canvas").scroll_into_view_if_needed()
    box = page.locator(".living-pad canvas").bounding_box()
    assert box
    touch = page.context.new_cdp_session(page)

    def send(kind, points):
        places = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    [stroke] = DIGITS[7]
    send("touchStart", [stroke[0]])
    for point in stroke[1:]:
        send("touchMove", [point])
    send("touchEnd", [])
    expect(page.locator(".living-draw .living-say")).to_have_text("This is a 7.")


def test_a_drawing_is_centred_and_scaled_like_mnist(play):
    """A bar of 40 x 120 in a corner becomes 20 high, about 7 wide, its mass in the middle."""
    image = np.array(
        play.evaluate("""() => {
            const { likeMnist } = living.modules.draw;
            const ink = new Uint8Array(280 * 280);
            for (let y = 10; y < 130; y++) for (let x = 200; x < 240; x++) ink[y * 280 + x] = 255;
            return Array.from(likeMnist(ink));
        }""")
    ).reshape(28, 28)
    rows, columns = np.nonzero(image.sum(axis=1))[0], np.nonzero(image.sum(axis=0))[0]
    assert (len(rows), rows[0]) == (20, 4)
    assert len(columns) in (7, 8)
    across = (image.sum(axis=0) * (np.arange(28) + 0.5)).sum() / image.sum()
    assert across == pytest.approx(14, abs=0.05)


def test_the_encoder_in_the_browser_is_torchs(play):
    _, test = load_images("mnist-5k")
    images = np.round(test.pixels[:20] * 255).astype(np.uint8)
    embeddings = play.evaluate(
        """(images) => {
            const { encode, readEncoder } = living.modules.encoder;
            const weights = readEncoder(living.data.draw.encoder);
            return images.map((image) => Array.from(
                encode(Float32Array.from(atob(image), (c) => c.charCodeAt(0) / 255), weights)));
        }""",
        [base64.b64encode(image.tobytes()).decode() for image in images],
    )
    wanted = encoder().transform(images.astype(np.float32) / 255)
    difference = np.abs(np.array(embeddings) - wanted).max()
    print(f"largest difference {difference:.1e}")
    assert difference < 1e-4


@pytest.mark.parametrize("mining", MINERS)
def test_triplets_in_the_browser_are_those_of_the_loss(play, mining):
    random = np.random.default_rng(0)
    for margin in (0.0, 0.2, 1.0):
        for n in (2, 5, 9):
            points, labels = random.uniform(-1, 1, (n, 2)), random.integers(0, 3, n)
            found = play.evaluate(
                "asked => living.modules.triplets.tripletLoss(...asked)",
                [points.tolist(), labels.tolist(), margin, mining],
            )
            at = torch.tensor(points, requires_grad=True)
            loss = triplet_loss(at, torch.tensor(labels), margin, mining)
            loss.backward()
            assert found["loss"] == pytest.approx(loss.item(), abs=1e-9)
            np.testing.assert_allclose(found["pulls"], -at.grad.numpy(), atol=1e-9)


@cache
def map_state():
    state = living_data.map_data()["state"]
    return state


def on_map(page, row, snapshot):
    """Where the map draws an image, in pixels of the canvas on the screen."""
    places = map_state()["places"][snapshot][row]
    box = page.locator(".living-map canvas").first.bounding_box()
    assert box
    inner = box["width"] * 800 / 840
    margin = box["width"] * 20 / 840
    return {"x": margin + places[0] * inner, "y": box["height"] - margin - places[1] * inner}


@both_ways
def test_map_hover_click_and_slide(play):
    state = map_state()
    canvas, last = play.locator(".living-map canvas").first, len(state["titles"]) - 1
    alone = int(np.argmax([isolation(state["places"][last], row) for row in range(len(state["labels"]))]))
    expect(play.locator(".living-map output")).to_have_text("after 0 of 600 steps")
    slider = play.get_by_label("Snapshot of the training")
    slider.fill(str(last))
    expect(play.locator(".living-map output")).to_have_text("after 600 of 600 steps")
    play.wait_for_timeout(800)  # the dots move for 0.6 s
    canvas.hover(position=on_map(play, alone, last))
    name = state["class_names"][state["labels"][alone]]
    expect(play.locator(".living-hover .living-image")).to_have_text(name)
    canvas.click(position=on_map(play, alone, last))
    chosen = play.locator(".living-chosen")
    expect(chosen.locator(".living-say")).to_have_text(f"Nearest to this {name}")
    expect(chosen.locator(".living-image")).to_have_text(
        names(state, state["by_pixels"], alone) + names(state, state["by_embedding"][last], alone)
    )
    before = pixels(canvas)
    slider.fill("0")
    expect(play.locator(".living-map output")).to_have_text("after 0 of 600 steps")
    expect(chosen.locator(".living-image")).to_have_text(
        names(state, state["by_pixels"], alone) + names(state, state["by_embedding"][0], alone)
    )
    play.wait_for_function(  # the dots move for 0.6 s
        "before => document.querySelector('.living-map canvas').toDataURL() != before", arg=before
    )
    slider.focus()
    play.keyboard.press("ArrowRight")
    expect(play.locator(".living-map output")).to_have_text("after 10 of 600 steps")


def isolation(places, row):
    away = np.linalg.norm(np.array(places) - places[row], axis=1)
    return float(np.sort(away)[1])


def names(state, nearest, row):
    return [str(state["class_names"][state["labels"][other]]) for other in nearest[row]]


def pixels(canvas):
    return str(canvas.evaluate("canvas => canvas.toDataURL()"))


def test_map_plays_from_the_start_until_it_is_stopped(play):
    output = play.locator(".living-map output")
    play.get_by_role("button", name="Play").click()
    expect(output).to_have_text("after 10 of 600 steps")
    play.get_by_role("button", name="Stop").click()
    said = output.inner_text()
    play.wait_for_timeout(1300)
    expect(output).to_have_text(said)
    play.get_by_role("button", name="Play").click()
    expect(output).to_have_text("after 600 of 600 steps", timeout=15_000)
    expect(play.get_by_role("button", name="Play")).to_be_visible()


def test_map_by_keys(play):
    play.locator(".living-map canvas").first.focus()
    play.keyboard.press("ArrowRight")
    expect(play.locator(".living-hover .living-image")).to_have_count(1)
    play.keyboard.press("ArrowUp")
    play.keyboard.press("Enter")
    expect(play.locator(".living-chosen .living-image")).to_have_count(12)


def playground_says(page):
    return page.locator(".living-triplets .living-say").inner_text()


@both_ways
def test_playground_drag_slide_pick_and_step(play):
    assert playground_says(play) == "8 of 12 mined triplets are active. Loss 0.117."
    play.get_by_label("Margin").fill("0")
    loss, _ = TripletPlayground(margin=0).loss_and_pull()
    assert playground_says(play) == f"2 of 12 mined triplets are active. Loss {loss:.3f}."
    play.get_by_label("Margin").fill("1")
    play.get_by_label("Miner").select_option("hard")
    assert re.match(r"6 of 6 ", playground_says(play))
    point = play.get_by_role("button", name="Point 1,")
    before, box = playground_says(play), point.bounding_box()
    assert box
    play.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    play.mouse.down()
    play.mouse.move(box["x"] + 80, box["y"] - 40, steps=5)
    play.mouse.up()
    assert playground_says(play) != before
    after = point.bounding_box()
    assert after
    assert after["x"] - box["x"] == pytest.approx(80 - box["width"] / 2, abs=3)
    losses = []
    for _ in range(5):
        play.get_by_role("button", name="Step").click()
        losses.append(float(re.findall(r"Loss ([\d.]+\d)", playground_says(play))[0]))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    play.get_by_role("button", name="Reset").click()
    play.get_by_label("Margin").fill("0.3")
    play.get_by_label("Miner").select_option("semihard")
    assert playground_says(play) == "8 of 12 mined triplets are active. Loss 0.117."
    point.focus()
    play.keyboard.press("ArrowLeft")
    expect(point).to_have_attribute("aria-label", "Point 1, class A, at -0.65, 0.40")


@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_read_the_figures(play, dark):
    if dark:
        play.evaluate("document.documentElement.dataset.theme = 'dark'")
    draw(play, DIGITS[3])
    play.locator(".living-map canvas").first.focus()
    play.keyboard.press("ArrowRight")
    play.keyboard.press("Enter")
    found = Axe().run(play, options=AXE).response["violations"]
    assert [
        (v["id"], v["nodes"][0]["html"][:90]) for v in found if v["impact"] in ("serious", "critical")
    ] == []


def test_nothing_is_wider_than_a_phone(open_page, addresses):
    page = loaded(open_page(f"{addresses['file']}/play.html", viewport={"width": 390, "height": 800}))
    draw(page, DIGITS[8])
    page.locator(".living-map canvas").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_sentence_keeps_its_distance_from_a_figure(play):
    gaps = play.locator("[data-living]").evaluate_all("""all => all.map(figure => {
        const [top, bottom] = [figure.getBoundingClientRect().top, figure.getBoundingClientRect().bottom];
        return [top - figure.previousElementSibling.getBoundingClientRect().bottom,
                figure.nextElementSibling.getBoundingClientRect().top - bottom];
    })""")
    assert len(gaps) == 3
    assert np.min(gaps) >= 16


# A figure that does not start: its place says so.

FIGURES = ("draw", "map", "triplets")


def place(page, name):
    """Return what is seen in the place of a figure, which must be one sentence that says what to do."""
    advice = page.locator(f"[data-living={name}]")
    expect(advice).to_have_text(
        re.compile(r"^\s*This figure did not start [^.]+: open\s+notebooks/playground\.ipynb, [^.]+\.\s*$")
    )
    expect(advice.locator("p")).to_be_visible()
    expect(advice.locator("a")).to_have_attribute("href", "notebooks/playground.html")
    return advice


@pytest.mark.parametrize("way", WAYS)
def test_without_javascript_a_sentence_is_there(browser, addresses, way):
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{addresses[way]}/play.html")
    for name in FIGURES:
        place(page, name)
    page.close()


# What is broken: a file, what becomes of it (None: it is gone), and the figures that then do not start.
BROKEN = {
    "no script": ("living.js", None, FIGURES),
    "half a script": ("living.js", lambda text: text[: len(text) // 2], FIGURES),
    "no data": ("map-data.js", None, ("map",)),
    "half the data": ("draw-data.js", lambda text: text[: len(text) // 2], ("draw",)),
    "other data": ("triplets-data.js", lambda text: text.replace("triplets", "other"), ("triplets",)),
    "a picture that is none": ("map-data.js", lambda text: text.replace("image/png;base64,", "&"), ("map",)),
    "an error in render": ("triplets-data.js", lambda text: text.replace("margin", "none"), ("triplets",)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", BROKEN)
def test_a_figure_that_cannot_start_says_so(browser, site, tmp_path, what, way):
    name, change, silent = BROKEN[what]
    shutil.copytree(site / "_static" / "living", tmp_path / "_static" / "living")
    text = (site / "play.html").read_text(encoding="utf-8")
    start = text.index('<link rel="stylesheet" href="_static/living/')  # the article, without the rest
    (tmp_path / "play.html").write_text(text[start : text.index("</article>")], encoding="utf-8")
    file = tmp_path / "_static" / "living" / name
    content = file.read_text(encoding="utf-8")
    file.unlink()
    if change:
        assert change(content) != content
        file.write_text(change(content), encoding="utf-8")
    server, page = serve_folder(tmp_path), browser.new_page()
    page.goto(f"{both(server, tmp_path)[way]}/play.html")
    for figure in FIGURES:
        if figure in silent:
            place(page, figure)
        else:
            expect(page.locator(f"[data-living={figure}][data-state=ready] .living")).to_be_visible()
            expect(page.locator(f"[data-living={figure}] .living-missing")).to_have_count(0)
    page.close()
    server.shutdown()


def test_the_advice_does_not_flash_up(browser, site):
    page = browser.new_page(java_script_enabled=False)
    page.goto((site / "play.html").as_uri())
    delay = page.locator(".living-missing").first.evaluate("p => getComputedStyle(p).animationDelay")
    assert delay == "1s"
    page.close()


# One plain script of all modules.


def script_of(folder, **modules):
    for name, source in modules.items():
        (folder / f"{name}.js").write_text(source, encoding="utf-8")
    return living_data.plain_script(folder, "site")


def test_the_site_has_the_figures_as_they_are_now(site):
    script = (site / "_static" / "living" / "living.js").read_text(encoding="utf-8")
    assert script == living_data.plain_script(LIVING, "site"), "The site is old: run make site."


def test_modules_become_one_plain_script(tmp_path, browser):
    script = script_of(
        tmp_path,
        site='import one from "./one.js";\nimport { two, Three } from "./two.js";\n'
        "document.title = [one.name, two(), new Three().name].join();\n",
        one='import { two } from "./two.js";\nexport default {\n  name: `one of ${two()}`,\n};\n',
        two="const hidden = 2;\nexport function two() { return hidden; }\n"
        'export class Three { name = "three"; }\n',
    )
    assert script.count("living.modules.two = ") == 1
    page = browser.new_page()
    page.set_content(f"<script>{script}</script>")
    assert page.title() == "one of 2,2,three"
    page.close()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('import * as one from "./one.js";', "does not know the form 'import \\* as one"),
        ('import { one as two } from "./one.js";', "does not know the form 'import { one as two }"),
        ('import one, { two } from "./one.js";', "does not know the form"),
        ('import "./one.js";', "does not know the form"),
        ('import one from "https://a.org/one.js";', "does not know the form"),
        ('const one = await import("./one.js");', "does not know the form 'import\\("),
        ("new URL(import.meta.url);", "does not know the form 'import.meta"),
        ('export * from "./one.js";', "does not know the form"),
        ("export const one = 1, two = 2;", "does not know the form"),
        ("export { one };", "does not know the form"),
        ("export default render;", "does not know the form"),
        ("export function* one() {}", "does not know the form"),
        ('import { gone } from "./one.js";', "imports gone, which one.js does not export"),
        ('import site from "./site.js";', "in a circle"),
    ],
)
def test_other_forms_of_modules_are_refused(tmp_path, source, message):
    with pytest.raises(SystemExit, match=message):
        script_of(tmp_path, site=source, one="export default {};\nexport function one() {}\n")


# With a kernel: JupyterLab and Voilà.


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serve(tmp_path):
    """Start a Jupyter server in a fresh folder, with fresh settings, and stop it in the end.

    The kernel's command is a bare `python`, so that of this environment must be the first on the path.
    """
    settings = {"apputils-extension/notification": {"fetchNews": "false"}}  # else Lab asks about news
    settings["notebook-extension/tracker"] = {"windowingMode": "none"}  # render cells that are out of view
    for name, values in settings.items():
        file = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    (tmp_path / "playground.ipynb").write_bytes((ROOT / "notebooks/playground.ipynb").read_bytes())
    fresh = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    fresh |= {f"JUPYTERLAB_{kind}_DIR": str(tmp_path / kind.lower()) for kind in ("SETTINGS", "WORKSPACES")}
    fresh["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    servers = []

    def start(arguments):
        port = free_port()
        command = [sys.executable, "-m", *arguments, "--no-browser", f"--port={port}"]
        log = (tmp_path / "log").open("w")
        servers.append(
            subprocess.Popen(command, cwd=tmp_path, env=os.environ | fresh, stdout=log, stderr=log)
        )
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            assert servers[-1].poll() is None, (tmp_path / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return address
            time.sleep(0.2)
        pytest.fail(f"no answer from {arguments[0]}: {(tmp_path / 'log').read_text()}")

    yield start
    for server in servers:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def check_all_three(page):
    """Draw, click, slide and drag where a kernel answers."""
    page.locator(".living-triplets svg").wait_for(timeout=120_000)
    verdict = page.locator(".living-draw .living-say")
    expect(verdict).to_have_text("This is a 7.")  # the test image that it begins with
    draw(page, DIGITS[3])
    expect(verdict).to_have_text("This is a 3.", timeout=20_000)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(verdict).to_have_text("Nothing drawn yet.", timeout=20_000)
    page.locator(".living-map canvas").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".living-chosen .living-image")).to_have_count(12)
    page.get_by_label("Snapshot of the training").fill("0")
    expect(page.locator(".living-map output")).to_have_text("after 0 of 600 steps")
    assert playground_says(page) == "8 of 12 mined triplets are active. Loss 0.117."
    point = page.get_by_role("button", name="Point 1,")
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 30, steps=4)
    page.mouse.up()
    assert playground_says(page) != "8 of 12 mined triplets are active. Loss 0.117."


def test_figures_in_jupyterlab(serve, open_page):
    options = ["--IdentityProvider.token=", "--allow-root", "--LabApp.expose_app_in_browser=True"]
    address = serve(["jupyterlab", *options])
    page = open_page(f"{address}/lab/tree/playground.ipynb", viewport={"width": 1300, "height": 900})
    page.locator(".jp-Notebook .jp-CodeCell").nth(3).wait_for(timeout=60_000)
    page.wait_for_function("window.jupyterapp && jupyterapp.commands.isEnabled('notebook:run-all-cells')")
    kernel = "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status"
    page.wait_for_function(f"{kernel} === 'idle'", timeout=60_000)  # else it would run nothing
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
    check_all_three(page)


def test_figures_in_voila(serve, open_page):
    page = open_page(serve(["voila", "playground.ipynb"]), viewport={"width": 1300, "height": 900})
    check_all_three(page)
