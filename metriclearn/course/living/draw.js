// Draw a digit: mouse, touch, pen or keys. The drawing is made to look like MNIST's and handed over as
// `drawing`, 784 bytes in base64; what comes back as `answer` is shown. In a notebook the kernel answers,
// on the site encoder.js does. `model` is anywidget's, or the stand-in of site.js.

const COLUMNS = 40; // images in a row of the sheet
const PAD = 280, SIDE = 28, BOX = 20;

// Scale a drawing into 20 x 20 and put its centre of mass into the middle of 28 x 28, as MNIST was made
// (LeCun et al. 1998). `ink`: pad x pad numbers, 0 to 255. Returns 784 bytes, or null for an empty pad.
export function likeMnist(ink, pad = PAD) {
  let left = pad, right = -1, top = pad, bottom = -1, mass = 0, massX = 0, massY = 0;
  for (let y = 0; y < pad; y++) for (let x = 0; x < pad; x++) {
    const v = ink[y * pad + x];
    if (!v) continue;
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
    [mass, massX, massY] = [mass + v, massX + v * (x + 0.5), massY + v * (y + 0.5)];
  }
  if (!mass) return null;
  const step = Math.max(right - left + 1, bottom - top + 1) / BOX; // pad pixels per MNIST pixel
  const startX = massX / mass - (SIDE / 2) * step, startY = massY / mass - (SIDE / 2) * step;
  const image = new Uint8Array(SIDE * SIDE);
  for (let row = 0; row < SIDE; row++) for (let column = 0; column < SIDE; column++) {
    image[row * SIDE + column] = Math.round(meanInk(startX + column * step, startY + row * step));
  }
  return image;

  function meanInk(x0, y0) { // the mean over a square of the pad; beyond the pad is no ink
    let sum = 0;
    for (let y = Math.max(0, Math.floor(y0)); y < Math.min(pad, y0 + step); y++) {
      const high = Math.min(y + 1, y0 + step) - Math.max(y, y0);
      for (let x = Math.max(0, Math.floor(x0)); x < Math.min(pad, x0 + step); x++) {
        sum += ink[y * pad + x] * high * (Math.min(x + 1, x0 + step) - Math.max(x, x0));
      }
    }
    return sum / (step * step);
  }
}

async function render({ model, el }) {
  const [height, width] = model.get("side");
  const sheet = new Image();
  sheet.src = model.get("sheet");
  await sheet.decode();
  el.innerHTML = `
    <div class="living living-draw">
      <div class="living-stage living-pad" style="flex-basis: 17.5rem">
        <canvas width="${PAD}" height="${PAD}" tabindex="0" role="application" aria-label="Pad to draw a digit on.
          Arrow keys move the pen, the space bar lowers and lifts it, Enter asks."></canvas>
        <div class="living-row"><label>Pen <select aria-label="Width of the pen"><option value="14">thin</option>
          <option value="20" selected>medium</option><option value="28">thick</option></select></label>
          <button type="button">Clear</button></div>
        <p class="living-hint">Draw a digit from 0 to 9. Or use the keys: arrows move the pen, the space bar
          lowers and lifts it, Enter asks.</p>
      </div>
      <div class="living-panel" aria-live="polite">
        <p class="living-say"></p><p class="living-hint living-score"></p>
        <div class="living-row living-seen"></div>
        <p class="living-hint living-near"></p><div class="living-row living-neighbours"></div>
        <div class="living-votes"></div>
      </div>
    </div>`;
  const find = (selector) => el.querySelector(selector);
  const pad = find("canvas"), context = pad.getContext("2d", { willReadFrequently: true });
  [context.lineCap, context.lineJoin, context.strokeStyle, context.fillStyle] = ["round", "round", "#fff", "#fff"];

  let pen = [PAD / 2, PAD / 2], down = false, example = false;
  const fresh = () => { context.clearRect(0, 0, PAD, PAD); example = false; };
  function strokeTo(point) {
    if (example) fresh();
    context.lineWidth = Number(find("select").value);
    context.beginPath();
    context.moveTo(...pen);
    context.lineTo(...point);
    context.stroke();
    pen = point;
  }
  const at = (event) => {
    const box = pad.getBoundingClientRect();
    return [(event.clientX - box.left) * (PAD / box.width), (event.clientY - box.top) * (PAD / box.height)];
  };
  function hand() { // the drawing goes to the encoder
    const { data } = context.getImageData(0, 0, PAD, PAD);
    const image = likeMnist(data.filter((_, i) => i % 4 === 3)); // how opaque: the pad is clear elsewhere
    model.set("drawing", image ? btoa(String.fromCharCode(...image)) : "");
    model.save_changes();
  }

  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    down = true;
    pen = at(event);
    strokeTo(pen); // a dot
  });
  pad.addEventListener("pointermove", (event) => { if (down) strokeTo(at(event)); });
  for (const end of ["pointerup", "pointercancel"]) {
    pad.addEventListener(end, () => { if (down) { down = false; hand(); } });
  }
  find("button").addEventListener("click", () => { fresh(); hand(); });

  // By keys: `lowered` draws while the arrows move.
  let lowered = false;
  pad.addEventListener("keydown", (event) => {
    const arrow = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] }[event.key];
    if (arrow) {
      const point = pen.map((value, axis) => Math.min(PAD, Math.max(0, value + arrow[axis])));
      if (lowered) strokeTo(point);
      pen = point;
    } else if (event.key === " ") {
      lowered = !lowered;
      if (lowered) strokeTo(pen);
      else hand();
    } else if (event.key === "Enter") hand();
    else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would act on the key
    find(".living-score").textContent = `Pen ${lowered ? "down" : "up"} at ${pen.map(Math.round).join(", ")}`;
  });

  function tile(title, paint, label) {
    const figure = document.createElement("div"), small = document.createElement("canvas");
    figure.className = "living-image";
    [small.width, small.height] = [width, height];
    paint(small.getContext("2d"));
    small.setAttribute("role", "img");
    small.setAttribute("aria-label", label);
    figure.append(small, title);
    return figure;
  }
  const bytesOf = (drawing) => Uint8Array.from(atob(drawing), (c) => c.charCodeAt(0));
  function begin() { // the pad shows the image that it is given; the first stroke of a pen wipes it off
    const small = document.createElement("canvas"), on = small.getContext("2d");
    [small.width, small.height] = [SIDE, SIDE];
    const image = on.createImageData(SIDE, SIDE);
    bytesOf(model.get("drawing")).forEach((v, i) => image.data.set([255, 255, 255, v], 4 * i));
    on.putImageData(image, 0, 0);
    context.drawImage(small, 0, 0, PAD, PAD);
    example = true;
  }
  function seen() { // the 28 x 28 pixels that the encoder gets
    const bytes = bytesOf(model.get("drawing"));
    return tile("what the encoder sees", (on) => {
      const image = on.createImageData(SIDE, SIDE);
      bytes.forEach((v, i) => image.data.set([v, v, v, 255], 4 * i));
      on.putImageData(image, 0, 0);
    }, "your drawing, 28 by 28 pixels");
  }
  function neighbour({ row, label, score }) {
    return tile(`${label}: ${score.toFixed(2)}`, (on) => on.drawImage(sheet, (row % COLUMNS) * width,
      Math.floor(row / COLUMNS) * height, width, height, 0, 0, width, height), `a ${label}`);
  }
  function bar([label, share]) {
    const line = document.createElement("label"), percent = Math.round(100 * share);
    line.className = "living-bar";
    line.innerHTML = `<span>votes for ${label}</span><meter max="100" value="${percent}"></meter><span>${percent} %</span>`;
    return line;
  }
  function show() {
    const answer = model.get("answer"), asked = model.get("drawing") && answer.neighbours;
    const best = asked ? answer.neighbours[0].score : 0, threshold = model.get("threshold");
    find(".living-say").textContent = !asked ? "Nothing drawn yet." :
      answer.label < 0 ? "Unknown: like nothing that is stored." : `This is a ${answer.label}.`;
    find(".living-score").textContent = asked ? `The nearest has a score of ${best.toFixed(2)}; below ` +
      `${threshold.toFixed(2)} the answer is "unknown".` : "";
    find(".living-seen").replaceChildren(...(asked ? [seen()] : []));
    find(".living-near").textContent = asked ? "Its nearest neighbours, with their scores (cosine):" : "";
    find(".living-neighbours").replaceChildren(...(asked ? answer.neighbours.map(neighbour) : []));
    find(".living-votes").replaceChildren(...(asked ? Object.entries(answer.votes)
      .sort((a, b) => b[1] - a[1]).slice(0, 3).map(bar) : []));
  }
  model.on("change:answer", show);
  if (model.get("drawing")) begin();
  show();
}

export default { render };
