// A playground for triplets: drag the points, move the margin, pick a miner; see which triplets are active
// and where gradients pull. `model` is anywidget's, or the stand-in of site.js.

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"];
const MINERS = { all: "all triplets", semihard: "semi-hard", hard: "hard" };
const STEP = 0.2; // how far "Step" moves the points: this many times the pull

// The triplet loss of metriclearn/losses.py, with its gradient: the loss, minus the gradient for each point
// (where descent pulls it), and the mined triplets [anchor, positive, negative, cost].
export function tripletLoss(points, labels, margin, mining) {
  const all = points.map((_, i) => i);
  const distance = (i, j) => Math.sqrt((points[i][0] - points[j][0]) ** 2 + (points[i][1] - points[j][1]) ** 2 + 1e-12);
  const mined = [];
  for (const a of all) {
    const positives = all.filter((i) => i !== a && labels[i] === labels[a]);
    const negatives = all.filter((i) => labels[i] !== labels[a]);
    if (!positives.length || !negatives.length) continue;
    const near = (i, j) => (distance(a, i) <= distance(a, j) ? i : j);
    const far = (i, j) => (distance(a, i) >= distance(a, j) ? i : j);
    if (mining === "all") for (const p of positives) for (const n of negatives) mined.push([a, p, n]);
    if (mining === "hard") mined.push([a, positives.reduce(far), negatives.reduce(near)]);
    if (mining === "semihard") for (const p of positives) {
      const farther = negatives.filter((n) => distance(a, n) > distance(a, p));
      mined.push([a, p, farther.length ? farther.reduce(near) : negatives.reduce(far)]);
    }
  }
  const triplets = mined.map(([a, p, n]) => [a, p, n, distance(a, p) - distance(a, n) + margin]);
  const active = triplets.filter(([, , , cost]) => cost > 0);
  const count = mining === "all" ? active.length : triplets.length; // what the mean is taken over
  const pulls = points.map(() => [0, 0]);
  let loss = 0;
  for (const [a, p, n, cost] of active) {
    loss += cost / count;
    for (const axis of [0, 1]) {
      const toPositive = (points[p][axis] - points[a][axis]) / distance(a, p) / count;
      const toNegative = (points[n][axis] - points[a][axis]) / distance(a, n) / count;
      pulls[a][axis] += toPositive - toNegative;
      pulls[p][axis] -= toPositive;
      pulls[n][axis] += toNegative;
    }
  }
  return { loss, pulls, triplets, active };
}

function render({ model, el }) {
  const get = (name) => model.get(name), labels = get("labels"), start = get("points");
  el.innerHTML = `
    <div class="living living-triplets">
      <div class="living-stage"><svg viewBox="-1.1 -1.1 2.2 2.2" role="group" aria-label="Points on a plane"></svg></div>
      <div class="living-panel">
        <label>Margin <input type="range" min="0" max="1" step="0.01" aria-label="Margin"> <output></output></label>
        <label>Miner <select>${Object.entries(MINERS).map(([key, name]) => `<option value="${key}">${name}</option>`)
          .join("")}</select></label>
        <p class="living-say" aria-live="polite"></p>
        <p class="living-hint">Drag a point, or focus it and use the arrow keys. Arrows show where a step of gradient
          descent pulls. Solid lines join anchors and positives, dashed ones anchors and negatives, of active
          triplets.</p>
        <button type="button" class="living-step">Step</button> <button type="button" class="living-reset">Reset</button>
      </div>
    </div>`;
  const find = (selector) => el.querySelector(selector);
  const svg = find("svg"), slider = find("input"), select = find("select");
  const make = (name, attributes, parent = svg) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  };
  const under = make("g", { "aria-hidden": true });
  const circles = labels.map((label, i) => {
    const circle = make("circle", { class: "point", r: 0.065, tabindex: 0, role: "button", fill: COLOURS[label % 6] });
    circle.addEventListener("pointerdown", (event) => circle.setPointerCapture(event.pointerId));
    circle.addEventListener("pointermove", (event) => {
      if (!circle.hasPointerCapture(event.pointerId)) return;
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      move(i, [x, -y]);
    });
    circle.addEventListener("keydown", (event) => {
      const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!arrow) return;
      event.preventDefault();
      event.stopPropagation(); // JupyterLab would move to the next cell
      move(i, get("points")[i].map((value, axis) => value + 0.05 * arrow[axis]));
    });
    circle.style.touchAction = "none";
    return circle;
  });
  const names = labels.map((label, i) => make("text", { "aria-hidden": true, "text-anchor": "middle" }));

  const inside = (value) => Math.min(1, Math.max(-1, value));
  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }
  function move(i, place) {
    set("points", get("points").map((point, j) => (i === j ? place.map(inside) : point)));
  }
  slider.addEventListener("input", () => set("margin", Number(slider.value)));
  select.addEventListener("change", () => set("mining", select.value));
  find(".living-reset").addEventListener("click", () => set("points", start));
  find(".living-step").addEventListener("click", () => {
    const { pulls } = tripletLoss(get("points"), labels, get("margin"), get("mining"));
    set("points", get("points").map((point, i) => point.map((value, axis) => inside(value + STEP * pulls[i][axis]))));
  });

  function draw() {
    const points = get("points"), margin = get("margin"), mining = get("mining");
    const { loss, pulls, triplets, active } = tripletLoss(points, labels, margin, mining);
    [slider.value, select.value, find("output").textContent] = [margin, mining, margin.toFixed(2)];
    find(".living-say").textContent = `${active.length} of ${triplets.length} mined triplets are active. Loss ${loss.toFixed(3)}.`;
    under.replaceChildren();
    const drawn = new Set(); // a pair may be in several triplets
    for (const [a, p, n] of active) for (const [end, kind] of [[p, "hold"], [n, "push"]]) {
      const key = `${Math.min(a, end)}-${Math.max(a, end)}`;
      if (drawn.has(key)) continue;
      drawn.add(key);
      make("line", { class: `link ${kind}`, x1: points[a][0], y1: -points[a][1], x2: points[end][0], y2: -points[end][1] }, under);
    }
    points.forEach(([x, y], i) => {
      circles[i].setAttribute("cx", x);
      circles[i].setAttribute("cy", -y);
      circles[i].setAttribute("aria-label", `Point ${i + 1}, class ${"ABCDEF"[labels[i] % 6]}, at ${x.toFixed(2)}, ${y.toFixed(2)}`);
      names[i].setAttribute("x", x);
      names[i].setAttribute("y", -y + 0.032);
      names[i].textContent = "ABCDEF"[labels[i] % 6];
      arrow(x, -y, pulls[i][0], -pulls[i][1]);
    });
  }
  function arrow(x, y, dx, dy) {
    const length = Math.hypot(dx, dy);
    if (length < 1e-3) return;
    const [ux, uy] = [dx / length, dy / length], shown = 0.07 + 0.5 * length; // beyond the point's rim
    const [tipX, tipY] = [x + shown * ux + 0.06 * ux, y + shown * uy + 0.06 * uy];
    const [backX, backY] = [tipX - 0.06 * ux, tipY - 0.06 * uy];
    make("line", { class: "pull", x1: x, y1: y, x2: backX, y2: backY }, under);
    const head = [[tipX, tipY], [backX - 0.03 * uy, backY + 0.03 * ux], [backX + 0.03 * uy, backY - 0.03 * ux]];
    make("polygon", { class: "head", points: head.map((corner) => corner.join(",")).join(" ") }, under);
  }
  for (const name of ["points", "margin", "mining"]) model.on(`change:${name}`, draw);
  draw();
}

export default { render };
