"use strict";
const pairs = [...document.querySelectorAll(".pair")];
const words = ["same", "different", "unsure"];
const memory = "tagreel-audit-" + document.body.dataset.audit;
const progress = document.getElementById("progress");
let verdicts = {};
let current = 0;

// A page opened from disk may have no storage; the verdicts then live as long as the page.
try { verdicts = JSON.parse(localStorage.getItem(memory)) || {}; } catch (error) { verdicts = {}; }

function remember() {
  try { localStorage.setItem(memory, JSON.stringify(verdicts)); } catch (error) { return; }
}

function show() {
  let judged = 0;
  pairs.forEach((pair, number) => {
    const verdict = verdicts[pair.dataset.pair] || "";
    judged += verdict ? 1 : 0;
    pair.dataset.said = verdict;
    pair.classList.toggle("current", number === current);
    pair.querySelectorAll("button").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    });
  });
  progress.textContent = judged + " of " + pairs.length + " judged";
  document.body.classList.toggle("done", judged === pairs.length);
}

function go(number) {
  current = Math.max(0, Math.min(pairs.length - 1, number));
  show();
  pairs[current].scrollIntoView({ block: "center" });
}

function judge(number, verdict) {
  const pair = pairs[number].dataset.pair;
  if (verdicts[pair] === verdict) { delete verdicts[pair]; } else { verdicts[pair] = verdict; }
  remember();
  current = number;
  show();
}

function save() {
  const lines = pairs.map((pair) => pair.dataset.pair + "," + (verdicts[pair.dataset.pair] || ""));
  const file = new Blob(["pair,verdict\n" + lines.join("\n") + "\n"], { type: "text/csv" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = "verdicts.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) { return; }
  const key = event.key.toLowerCase();
  const verdict = words["123".indexOf(key)] || words["sdu".indexOf(key)];
  if (key.length === 1 && verdict) {
    if (verdicts[pairs[current].dataset.pair] !== verdict) { judge(current, verdict); }
    go(current + 1);
  } else if (["arrowdown", "arrowright", "j"].includes(key)) {
    go(current + 1);
  } else if (["arrowup", "arrowleft", "k"].includes(key)) {
    go(current - 1);
  } else { return; }
  event.preventDefault();
});

pairs.forEach((pair, number) => pair.querySelectorAll("button").forEach((button) => {
  button.addEventListener("click", () => { judge(number, button.dataset.verdict); button.blur(); });
}));
document.getElementById("save").addEventListener("click", save);
const open = pairs.findIndex((pair) => !verdicts[pair.dataset.pair]);
current = open < 0 ? 0 : open;
show();
if (current > 0) { go(current); }
