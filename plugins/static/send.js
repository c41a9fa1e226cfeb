// Asks the API to change something. The header says that this site asked: no form of another site can send it.
export async function send(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-Lazaretto-Request": "1" },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    told = { error: `the server answered ${answer.status}` };
  }
  if (!answer.ok) {
    const detail = told.error ?? told.detail;
    throw new Error(typeof detail === "string" ? detail : JSON.stringify(detail));
  }
  return told;
}
