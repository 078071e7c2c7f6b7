"use strict";
const { classes, items } = JSON.parse(document.getElementById("data").textContent);
const decided = new Map(); // file -> its SHA-256 and new label, "" for none
const $ = (id) => document.getElementById(id);
const WHY = {
  label: "This label looks wrong.",
  duplicate: "This picture is there twice.",
  outlier: "This picture is unlike all others.",
  next: "A label for this one would help most.",
};
let at = 0;

function show() {
  if (!items.length) { $("where").textContent = "There is nothing to review."; return; }
  const item = items[at];
  const label = decided.has(item.file_name) ? decided.get(item.file_name).label : item.label ?? "";
  $("where").textContent = `${at + 1} of ${items.length}; ${decided.size} changed`;
  const says = item.suggestion === null ? "" : ` Its neighbours say: ${item.suggestion}.`;
  $("why").textContent = WHY[item.kind] + (item.kind === "duplicate" ? "" : says);
  $("picture").src = item.picture;
  $("name").textContent = `${item.file_name}: ${label || "no label"}`;
  $("duplicate").hidden = item.other === null;
  if (item.other !== null) {
    $("other").src = item.otherPicture;
    $("otherName").textContent = `${item.other}: ${item.otherLabel ?? "no label"}`;
  }
  for (const button of $("classes").children) {
    button.setAttribute("aria-pressed", String(button.dataset.label === label));
  }
}

function decide(label) {
  const item = items[at];
  if (!item) return;
  if (label === (item.label ?? "")) decided.delete(item.file_name);
  else decided.set(item.file_name, { label, digest: item.sha256 });
  show();
}

function move(step) {
  at = Math.max(0, Math.min(items.length - 1, at + step));
  show();
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

for (const [number, name] of [...classes, ""].entries()) {
  const button = document.createElement("button");
  const key = name === "" ? "0 " : number < 9 ? `${number + 1} ` : "";
  button.textContent = key + (name || "no label");
  button.dataset.label = name;
  button.addEventListener("click", () => decide(name));
  $("classes").append(button);
}
$("back").addEventListener("click", () => move(-1));
$("next").addEventListener("click", () => move(1));
$("save").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const item = items[at];
  if (event.key === "ArrowRight") move(1);
  else if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "s") save();
  else if (event.key === "0") decide("");
  else if (event.key >= "1" && event.key <= "9" && Number(event.key) <= classes.length) decide(classes[event.key - 1]);
  else if (event.key === "Enter" && event.target.tagName !== "BUTTON" && item && item.suggestion !== null) decide(item.suggestion);
  else return;
  event.preventDefault();
});
show();
