// On a page without Python: a stand-in for anywidget's model, and an answer for the pad from encoder.js.
// Each <div data-living="map | draw | triplets"> becomes a figure; the data lie beside this file.

import { encode, floats, readEncoder, vote } from "./encoder.js";

export class StandIn {
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

async function load(name) {
  const response = await fetch(new URL(`./${name}.json`, import.meta.url));
  if (!response.ok) throw new Error(`${name}.json: ${response.status}`);
  return response.json();
}

function answerDrawings(model, { encoder, references }) {
  const weights = readEncoder(encoder), known = { ...references, embeddings: floats(references.embeddings) };
  model.on("change:drawing", () => {
    const drawing = model.get("drawing");
    const pixels = Float32Array.from(atob(drawing), (c) => c.charCodeAt(0) / 255);
    model.set("answer", drawing ? vote(encode(pixels, weights), { ...known, threshold: model.get("threshold") }) : {});
  });
}

for (const el of document.querySelectorAll("[data-living]")) {
  const name = el.dataset.living;
  try {
    const [{ default: figure }, { state, ...rest }] = await Promise.all([import(`./${name}.js`), load(name)]);
    const model = new StandIn(state);
    if (rest.encoder) answerDrawings(model, rest);
    await figure.render({ model, el });
    el.dataset.ready = "true";
  } catch (error) {
    el.textContent = "This figure could not be loaded. Notebook playground.ipynb shows it as well.";
    console.error(error);
  }
}
