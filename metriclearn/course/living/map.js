// The map of embeddings: hover to see an image, click to see its neighbours, slide through training.
// `model` is anywidget's, or the stand-in of site.js: get, set, save_changes, on.

const COLUMNS = 40; // images in a row of the sheet

async function render({ model, el }) {
  const get = (name) => model.get(name);
  const labels = get("labels"), names = get("class_names"), colours = get("colours"), places = get("places");
  const titles = get("titles"), [height, width] = get("side");
  const sheet = new Image();
  sheet.src = get("sheet");
  await sheet.decode();

  el.innerHTML = `
    <div class="living living-map">
      <div class="living-stage">
        <canvas width="840" height="840" tabindex="0" role="application"></canvas>
        <div class="living-row"><button type="button">Play</button>
          <label>Training <input type="range" min="0" max="${titles.length - 1}" step="1"> <output></output></label></div>
      </div>
      <div class="living-panel">
        <p class="living-hint">Point at a dot to see its image. Click it, or move with the arrow keys and press
          Enter, to see its neighbours.</p>
        <div class="living-hover living-row"></div>
        <div class="living-chosen" aria-live="polite"></div>
      </div>
    </div>`;
  const find = (selector) => el.querySelector(selector);
  const canvas = find("canvas"), slider = find("input"), output = find("output"), play = find("button");
  const context = canvas.getContext("2d");
  canvas.setAttribute("aria-label", `Map of ${labels.length} images. Arrow keys move, Enter chooses.`);
  slider.setAttribute("aria-label", "Snapshot of the training");

  let hovered = -1;
  let spots = places[get("snapshot")]; // where the dots are drawn now, on the way during a move
  let frame = 0, playing = 0;

  function inkOf(label) { // the palette's black would be lost on a dark page
    return colours[label] === "#000000" ? "currentColor" : colours[label];
  }
  const toCanvas = ([x, y]) => [20 + x * (canvas.width - 40), canvas.height - 20 - y * (canvas.height - 40)];

  function draw() {
    const text = getComputedStyle(el).color;
    context.clearRect(0, 0, canvas.width, canvas.height);
    spots.forEach((spot, i) => dot(i, 5, inkOf(labels[i]) === "currentColor" ? text : colours[labels[i]]));
    names.forEach((name, label) => {
      const mine = spots.filter((_, i) => labels[i] === label);
      if (!mine.length) return;
      const middle = [0, 1].map((axis) => mine.map((spot) => spot[axis]).sort((a, b) => a - b)[mine.length >> 1]);
      write(name, toCanvas(middle), text);
    });
    const chosen = get("chosen");
    if (chosen >= 0) {
      context.lineWidth = 1.5;
      context.strokeStyle = text;
      for (const other of get("by_embedding")[get("snapshot")][chosen]) {
        context.beginPath();
        context.moveTo(...toCanvas(spots[chosen]));
        context.lineTo(...toCanvas(spots[other]));
        context.stroke();
      }
      ring(chosen, 12, text);
    }
    if (hovered >= 0) ring(hovered, 9, text);
  }
  function dot(i, radius, colour) {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(...toCanvas(spots[i]), radius, 0, 2 * Math.PI);
    context.fill();
  }
  function write(name, [x, y], colour) { // with a rim that is dark where the text is light
    const light = colour.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) > 382;
    context.font = "bold 34px sans-serif";
    [context.textAlign, context.textBaseline, context.lineWidth] = ["center", "middle", 7];
    [context.fillStyle, context.strokeStyle] = [colour, light ? "#000c" : "#fffc"];
    context.strokeText(name, x, y);
    context.fillText(name, x, y);
  }
  function ring(i, radius, colour) {
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.beginPath();
    context.arc(...toCanvas(spots[i]), radius, 0, 2 * Math.PI);
    context.stroke();
  }

  // One image of the sheet, with what it is below; framed by whether its class is that of the chosen one.
  function thumb(i, chosen = -1) {
    const figure = document.createElement("div"), small = document.createElement("canvas");
    figure.className = "living-image";
    [small.width, small.height] = [width, height];
    small.getContext("2d").drawImage(sheet, (i % COLUMNS) * width, Math.floor(i / COLUMNS) * height,
      width, height, 0, 0, width, height);
    small.setAttribute("role", "img");
    small.setAttribute("aria-label", `image of ${names[labels[i]]}`);
    if (chosen >= 0) small.className = labels[i] === labels[chosen] ? "same" : "other";
    figure.append(small, names[labels[i]]);
    return figure;
  }
  function showHovered() {
    find(".living-hover").replaceChildren(...(hovered < 0 ? [] : [thumb(hovered)]));
    draw();
  }
  function showChosen() {
    const chosen = get("chosen"), panel = find(".living-chosen");
    panel.replaceChildren();
    if (chosen >= 0) {
      const rows = { "in pixel space": get("by_pixels"), "in embedding space": get("by_embedding")[get("snapshot")] };
      panel.append(line("living-say", `Nearest to this ${names[labels[chosen]]}`));
      for (const [where, nearest] of Object.entries(rows)) {
        const same = nearest[chosen].filter((i) => labels[i] === labels[chosen]).length;
        const row = document.createElement("div");
        row.className = "living-row";
        row.append(...nearest[chosen].map((i) => thumb(i, chosen)));
        panel.append(line("living-hint", `${where}: ${same} of ${nearest[chosen].length} are the same`), row);
      }
    }
    draw();
  }
  function line(className, text) {
    const p = document.createElement("p");
    p.className = className;
    p.textContent = text;
    return p;
  }

  // Move the dots from where they are to where the snapshot has them, in 0.6 s.
  function moveTo(snapshot) {
    slider.value = snapshot;
    slider.setAttribute("aria-valuetext", titles[snapshot]);
    output.textContent = titles[snapshot];
    showChosen();
    const from = spots, target = places[snapshot], start = performance.now();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    cancelAnimationFrame(frame);
    (function step(now) {
      const t = still ? 1 : Math.min(1, Math.max(0, (now - start) / 600)), eased = t * t * (3 - 2 * t);
      spots = t < 1 ? target.map(([x, y], i) => [from[i][0] + eased * (x - from[i][0]),
        from[i][1] + eased * (y - from[i][1])]) : target;
      draw();
      if (t < 1) frame = requestAnimationFrame(step);
    })(start);
  }
  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }
  function nearestTo(event) {
    const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let best = -1, bestDistance = (18 * scale) ** 2; // no farther than 18 pixels of the screen
    spots.forEach((spot, i) => {
      const [px, py] = toCanvas(spot), distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < bestDistance) [best, bestDistance] = [i, distance];
    });
    return best;
  }
  // The nearest dot in the direction of an arrow key, within a quarter turn.
  function towards(i, dx, dy) {
    let best = i, bestCost = Infinity;
    spots.forEach(([x, y], j) => {
      const along = (x - spots[i][0]) * dx + (y - spots[i][1]) * dy;
      const across = Math.abs((x - spots[i][0]) * dy) + Math.abs((y - spots[i][1]) * dx);
      if (along > across && along + 2 * across < bestCost) [best, bestCost] = [j, along + 2 * across];
    });
    return best;
  }

  canvas.addEventListener("pointermove", (event) => { hovered = nearestTo(event); showHovered(); });
  canvas.addEventListener("pointerleave", () => { hovered = -1; showHovered(); });
  canvas.addEventListener("click", (event) => { set("chosen", nearestTo(event)); });
  canvas.addEventListener("keydown", (event) => {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (arrow) hovered = hovered < 0 ? Math.max(0, get("chosen")) : towards(hovered, ...arrow);
    else if ((event.key === "Enter" || event.key === " ") && hovered >= 0) set("chosen", hovered);
    else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would move to the next cell
    showHovered();
  });
  // From the start of the training to its end, a snapshot a second; the slider and a second press stop it.
  function stop() {
    clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
  }
  play.addEventListener("click", () => {
    if (playing) return stop();
    set("snapshot", 0);
    play.textContent = "Stop";
    playing = setInterval(() => {
      set("snapshot", get("snapshot") + 1);
      if (get("snapshot") === titles.length - 1) stop();
    }, 1000);
  });
  slider.addEventListener("input", () => { stop(); set("snapshot", Number(slider.value)); });
  model.on("change:snapshot", () => moveTo(get("snapshot")));
  model.on("change:chosen", showChosen);
  // A page that turns dark or light changes an attribute of these two.
  const watch = new MutationObserver(draw);
  for (const part of [document.documentElement, document.body]) watch.observe(part, { attributes: true });
  moveTo(get("snapshot"));
  return () => { stop(); watch.disconnect(); };
}

export default { render };
