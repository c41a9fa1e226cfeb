// Deciding on held records: selection, the dialog, and the calls to the API. Nothing is decided here:
// the server checks who asks, and what they have seen.
import { send as post } from "./send.js";

const review = document.getElementById("review");
const dialog = document.getElementById("ask");
const said = document.getElementById("said");
const everything = document.getElementById("everything");
const wholePage = document.getElementById("page");
const { api, seen, filter } = review.dataset;
const theCase = encodeURIComponent(review.dataset.case);
const matching = Number(review.dataset.matching);
const MANY = 100;
const VERBS = { RELEASE: "Release", REJECT: "Reject", RELABEL: "Relabel", REWEIGHT: "Reweight" };

const boxes = () => [...review.querySelectorAll('input[name="record"]:not(:disabled)')];
const store = `lazaretto-picked-${review.dataset.case}`;
// The selection outlives a page of the list; it is of one case, and gone with the tab.
const picked = new Set(JSON.parse(sessionStorage.getItem(store) ?? "[]"));
const selected = () => [...picked].sort((a, b) => a - b);
const count = () => (everything.checked ? matching : picked.size);

function show() {
  const number = count();
  document.getElementById("selected").textContent =
    number === 0 ? "none selected" : `${number.toLocaleString("en")} selected`;
  document.getElementById("clear").hidden = picked.size === 0;
  for (const box of boxes()) {
    box.checked = picked.has(Number(box.value));
    box.closest("tr").classList.toggle("picked", box.checked);
  }
  sessionStorage.setItem(store, JSON.stringify([...picked]));
  document.dispatchEvent(new CustomEvent("lazaretto:selected", { detail: { positions: picked } }));
}

function pick(positions, on = true) {
  for (const position of positions) {
    if (on) picked.add(position);
    else picked.delete(position);
  }
  show();
}

const send = (path, body) => post(`${api}${path}`, body);

async function doing(words, work) {
  said.textContent = words;
  review.toggleAttribute("aria-busy", true);
  try {
    const done = await work();
    sessionStorage.setItem("lazaretto-said", done);
    location.reload();
  } catch (error) {
    said.textContent = error.message;
    review.toggleAttribute("aria-busy", false);
  }
}

function ask(title, action, number) {
  const form = dialog.querySelector("form");
  form.reset();
  document.getElementById("question").textContent = title;
  document.getElementById("number").textContent = String(number);
  for (const [name, shown] of [
    ["when-relabel", action === "RELABEL"],
    ["when-reweight", action === "REWEIGHT"],
    ["when-many", number > MANY],
  ]) {
    dialog.querySelector(`.${name}`).hidden = !shown;
  }
  form.elements.label.required = action === "RELABEL";
  form.elements.weight.required = action === "REWEIGHT";
  form.elements.confirm.required = number > MANY;
  form.elements.confirm.pattern = String(number);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => resolve(dialog.returnValue === "go" ? form.elements : null),
      { once: true },
    );
  });
}

async function decide(action) {
  const number = count();
  if (number === 0) {
    said.textContent = "Select records first.";
    return;
  }
  const positions = selected();
  const wanted = JSON.parse(filter);
  const whole = everything.checked;
  const records = `${number} record${number === 1 ? "" : "s"}`;
  const fields = await ask(`${VERBS[action]} ${records}?`, action, number);
  if (fields === null) return;
  const which = !whole
    ? { positions }
    : Object.keys(wanted).length > 0
      ? { filter: wanted }
      : { all: true };
  await doing("Deciding…", async () => {
    await send(`/cases/${theCase}/decisions`, {
      action,
      reason: fields.reason.value,
      label: action === "RELABEL" ? fields.label.value : null,
      weight: action === "REWEIGHT" ? Number(fields.weight.value) : null,
      seen: Number(seen),
      expected: number,
      ...which,
    });
    picked.clear();
    show();
    return `${VERBS[action]}: ${records}.`;
  });
}

async function undo(decision) {
  const fields = await ask("Undo this decision?", "UNDO", 0);
  if (fields === null) return;
  await doing("Undoing…", async () => {
    await send(`/decisions/${encodeURIComponent(decision)}/undo`, { reason: fields.reason.value });
    return "Undone.";
  });
}

async function assign(name) {
  await doing("Assigning…", async () => {
    await send(`/cases/${theCase}/assignee`, { assignee: name === "" ? null : name });
    return name === "" ? "It is nobody's now." : "It is yours now.";
  });
}

async function remark(event) {
  event.preventDefault();
  const { text } = event.target.elements;
  await doing("Writing…", async () => {
    await send(`/cases/${theCase}/comments`, { text: text.value });
    return "Your comment is on record.";
  });
}

async function override(event) {
  event.preventDefault();
  const { reason } = event.target.elements;
  await doing("Overriding…", async () => {
    await send(`/cases/${theCase}/override`, { reason: reason.value });
    return "The revocation is overridden for this case: it can be released.";
  });
}

async function approve() {
  await doing("Approving…", async () => {
    const { records } = await send(`/cases/${theCase}/approve`, { seen: Number(seen) });
    return `You approved the publication of ${records.toLocaleString("en")} records.`;
  });
}

async function publish() {
  await doing("Publishing…", async () => {
    const { admission, announcement } = await send(`/cases/${theCase}/publish`, {});
    return admission === null
      ? "Nothing is released, so nothing was published."
      : `Published ${admission.rows.toLocaleString("en")} records as version ${admission.version}. ${announcement?.note ?? ""}`;
  });
}

function move(step) {
  const rows = [...review.querySelectorAll("tbody tr")];
  const at = rows.indexOf(document.activeElement.closest("#review tbody tr"));
  rows[Math.max(0, Math.min(rows.length - 1, at + step))]?.focus();
}

const KEYS = { r: "RELEASE", x: "REJECT", l: "RELABEL", w: "REWEIGHT" };
function pressed(event) {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in KEYS) decide(KEYS[event.key]);
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "u") document.querySelector("[data-last]")?.click();
  else if (event.key === "n") document.querySelector('a[rel="next"]')?.click();
  else if (event.key === "?") document.getElementById("help").showModal();
  else if (event.key === " " && event.target.matches("#review tbody tr")) {
    const box = event.target.querySelector('input[name="record"]:not(:disabled)');
    if (box) pick([Number(box.value)], !box.checked);
  } else return;
  event.preventDefault();
}

function start() {
  document.addEventListener("keydown", pressed);
  review.addEventListener("change", (event) => {
    const { target } = event;
    if (target === wholePage) pick(boxes().map((box) => Number(box.value)), target.checked);
    else if (target.name === "record") pick([Number(target.value)], target.checked);
    else show();
  });
  // Others select too: the map, by what a lasso takes.
  document.addEventListener("lazaretto:select", (event) => pick(event.detail.positions));
  document.getElementById("clear").addEventListener("click", () => pick([...picked], false));
  for (const button of review.querySelectorAll("[data-action]")) {
    button.addEventListener("click", () => decide(button.dataset.action));
  }
  for (const button of document.querySelectorAll("[data-undo]")) {
    button.addEventListener("click", () => undo(button.dataset.undo));
  }
  document.getElementById("publish").addEventListener("click", publish);
  document.getElementById("approve")?.addEventListener("click", approve);
  show();
}

for (const button of document.querySelectorAll("[data-assign]")) {
  button.addEventListener("click", () => assign(button.dataset.assign));
}
document.getElementById("remark")?.addEventListener("submit", remark);
document.getElementById("override")?.addEventListener("submit", override);

said.textContent = sessionStorage.getItem("lazaretto-said") ?? "";
sessionStorage.removeItem("lazaretto-said");
if (dialog) start(); // a closed case has none
