// The forms of incidents and models: what is filled in goes to the API, and what came of it is shown.
import { send } from "./send.js";

const said = document.getElementById("said");
const root = new URL(import.meta.url).pathname.replace(/\/static\/.*$/, "");

function filled(form) {
  const body = Object.fromEntries(new FormData(form));
  if (body.assignee === "") body.assignee = null;
  for (const field of form.querySelectorAll("input[type=checkbox]")) body[field.name] = field.checked;
  for (const field of form.querySelectorAll("[data-list]")) {
    body[field.name] = field.value.split(/[\s,]+/).filter((name) => name !== "");
  }
  return body;
}

async function submitted(event) {
  event.preventDefault();
  const form = event.target;
  said.textContent = "Writing…";
  try {
    const told = await send(`${root}/api/v1${form.dataset.post}`, filled(form));
    const words = told.sentences ?? [];
    sessionStorage.setItem("lazaretto-said", [form.dataset.said ?? "", ...words].join(" "));
    if (form.dataset.go) location.assign(`${root}${form.dataset.go}${encodeURIComponent(told.id)}`);
    else location.reload();
  } catch (error) {
    said.textContent = error.message;
    said.scrollIntoView({ block: "nearest" });
  }
}

for (const form of document.querySelectorAll("form[data-post]")) {
  form.addEventListener("submit", submitted);
}
said.textContent = sessionStorage.getItem("lazaretto-said") ?? "";
sessionStorage.removeItem("lazaretto-said");
