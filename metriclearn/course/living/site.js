// On a page without Python: a stand-in for anywidget's model, and an answer for the pad from encoder.js.
// Each <div data-living="map | draw | triplets"> becomes a figure. What stands in the <div> before that says
// what to do where no figure comes; it stays, or comes back, when anything fails.
//
// The page may be opened from the disk, where a browser loads plain scripts only: tools/living_data.py makes
// one of this module and of all that it imports, and of each figure's data, which lie beside it.

import draw from "./draw.js";
import { encode, floats, readEncoder, vote } from "./encoder.js";
import map from "./map.js";
import triplets from "./triplets.js";

const FIGURES = { draw, map, triplets };
const HERE = document.currentScript.src;

class StandIn {
  constructor(state) {
    this.state = state;
    this.listeners = {};
  }
  get(name) { return this.state[name]; }
  set(name, value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    for (const listener of this.listeners[`change:${name}`] ?? []) listener();
  }
  on(event, listener) { (this.listeners[event] ??= []).push(listener); }
  save_changes() {}
}

function load(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(`${name}-data.js`, HERE);
    script.onerror = () => reject(new Error(`${script.src} is missing`));
    script.onload = () => {
      if (living.data[name]) resolve(living.data[name]);
      else reject(new Error(`${script.src} is damaged`));
    };
    document.head.append(script);
  });
}

function answerDrawings(model, { encoder, references }) {
  const weights = readEncoder(encoder), known = { ...references, embeddings: floats(references.embeddings) };
  model.on("change:drawing", () => {
    const drawing = model.get("drawing");
    const pixels = Float32Array.from(atob(drawing), (c) => c.charCodeAt(0) / 255);
    model.set("answer", drawing ? vote(encode(pixels, weights), { ...known, threshold: model.get("threshold") }) : {});
  });
}

async function start(el) {
  const name = el.dataset.living, advice = [...el.childNodes];
  try {
    const { state, ...rest } = await load(name);
    const model = new StandIn(state);
    if (rest.encoder) answerDrawings(model, rest);
    await FIGURES[name].render({ model, el });
    el.dataset.state = "ready";
  } catch (error) {
    el.replaceChildren(...advice);
    el.dataset.state = "failed";
    console.error(error);
  }
}

for (const el of document.querySelectorAll("[data-living]")) start(el);
