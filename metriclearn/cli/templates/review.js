"use strict";
const { id, classes, items } = JSON.parse(document.getElementById("data").textContent);
const STORED = `metriclearn review ${id}`; // decisions that are not saved yet outlive a reload
const decided = new Map(); // file -> its SHA-256 and new label, "" for none
const history = []; // what each decision replaced, for undo
const $ = (name) => document.getElementById(name);
const WHY = {
  label: "This label looks wrong.",
  duplicate: "This picture is there twice.",
  outlier: "This picture is unlike all others.",
  next: "A label for this one would help most.",
};
let at = 0;

// A key for each class: its own name if that is one letter or digit, else the first free letter or digit of its
// name, else any free one. Classes beyond these have a button alone.
function keysOf(names) {
  const free = new Set("1234567890abcdefghijklmnopqrstuvwxyz"), keys = new Map();
  const take = (name, wanted) => {
    const key = [...wanted].find((one) => free.has(one));
    if (key !== undefined && !keys.has(name)) { keys.set(name, key); free.delete(key); }
  };
  const plain = (name) => name.toLowerCase();
  for (const name of names) if (name.length === 1) take(name, plain(name));
  for (const name of names) take(name, plain(name));
  for (const name of names) take(name, free);
  return keys;
}
const keys = keysOf(classes);
const classOf = new Map([...keys].map(([name, key]) => [key, name]));

function labelOf(file, label) {
  return (decided.has(file) ? decided.get(file).label : label ?? "") || "no label";
}

function show() {
  if (!items.length) { $("where").textContent = "There is nothing to review."; return; }
  const item = items[at];
  $("where").textContent = `${at + 1} of ${items.length}; ${decided.size} changed`;
  const says = item.suggestion === null ? "" : ` The classifier says: ${item.suggestion}.`;
  $("why").textContent = WHY[item.kind] + (item.kind === "duplicate" ? "" : says);
  $("picture").src = item.picture;
  $("picture").alt = `the picture ${item.file_name}`;
  $("name").textContent = `${item.file_name}: ${labelOf(item.file_name, item.label)}`;
  $("original").href = item.original;
  $("duplicate").hidden = $("keep").hidden = item.other === null;
  if (item.other !== null) {
    $("other").src = item.otherPicture;
    $("otherName").textContent = `${item.other}: ${labelOf(item.other, item.otherLabel)}`;
  }
  for (const button of $("classes").children) {
    const label = button.dataset.label || "no label";
    button.setAttribute("aria-pressed", String(label === labelOf(item.file_name, item.label)));
  }
  $("undo").disabled = !history.length;
  // No button keeps the focus: Enter would press it again for the next picture.
  $("pair").focus({ preventScroll: true });
}

function change(file, before, digest, label) {
  history.push({ at, file, old: decided.get(file) });
  if (label === (before ?? "")) decided.delete(file);
  else decided.set(file, { label, digest });
  keep();
}

function decide(label) {
  const item = items[at];
  if (!item) return;
  change(item.file_name, item.label, item.sha256, label);
  move(1);
}

function keepThisOne() {
  const item = items[at];
  if (!item || item.other === null) return;
  change(item.other, item.otherLabel, item.otherDigest, "");
  move(1);
}

function undo() {
  const last = history.pop();
  if (!last) return;
  if (last.old) decided.set(last.file, last.old);
  else decided.delete(last.file);
  at = last.at;
  keep();
  show();
}

function move(step) {
  at = Math.max(0, Math.min(items.length - 1, at + step));
  show();
}

function keep() {
  try {
    localStorage.setItem(STORED, JSON.stringify([...decided]));
  } catch { /* a browser that stores nothing loses what is not saved */ }
}

function recall() {
  try {
    for (const [file, one] of JSON.parse(localStorage.getItem(STORED) ?? "[]")) decided.set(file, one);
  } catch { /* nothing was stored */ }
}

// An apostrophe in front, so that no spreadsheet takes a text for a formula: as in tables.py, which removes it.
const FORMULA = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
const cell = (text) => `"${(FORMULA.test(text) ? "'" : "") + text.replaceAll('"', '""')}"`;

function save() {
  const lines = [["file_name", "label", "sha256"]];
  for (const [file, { label, digest }] of decided) lines.push([file, label, digest]);
  const text = lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "reviewed.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

for (const name of [...classes, ""]) {
  const button = document.createElement("button"), key = document.createElement("kbd");
  key.textContent = name === "" ? "-" : keys.get(name) ?? "";
  button.append(...(key.textContent ? [key, " "] : []), name || "no label");
  button.dataset.label = name;
  button.addEventListener("click", () => decide(name));
  $("classes").append(button);
}
$("back").addEventListener("click", () => move(-1));
$("next").addEventListener("click", () => move(1));
$("undo").addEventListener("click", undo);
$("keep").addEventListener("click", keepThisOne);
$("save").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  const item = items[at], key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === "s") save();
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (event.key === "ArrowRight") move(1);
  else if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "Backspace") undo();
  else if (event.key === "-") decide("");
  else if (event.key === "+") keepThisOne();
  else if (classOf.has(key)) decide(classOf.get(key));
  else if (event.key === "Enter" && !event.target.closest("button, a") && item && item.suggestion !== null) decide(item.suggestion);
  else return;
  event.preventDefault();
});
recall();
show();
