// The forms of the pages of incidents and models: what is filled in goes to the API, and the page is loaded again.
import { send } from "./send.js";

const said = document.getElementById("said");
const root = new URL(import.meta.url).pathname.replace(/\/static\/.*$/, "");

async function submitted(event) {
  event.preventDefault();
  const form = event.target;
  const body = Object.fromEntries(new FormData(form));
  if (body.assignee === "") body.assignee = null;
  said.textContent = "Writing…";
  try {
    await send(`${root}/api/v1${form.dataset.post}`, body);
    sessionStorage.setItem("lazaretto-said", form.dataset.said);
    location.reload();
  } catch (error) {
    said.textContent = error.message;
  }
}

for (const form of document.querySelectorAll("form[data-post]")) {
  form.addEventListener("submit", submitted);
}
said.textContent = sessionStorage.getItem("lazaretto-said") ?? "";
sessionStorage.removeItem("lazaretto-said");
