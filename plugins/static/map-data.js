// The map as the server sends it: a head in JSON, then little-endian arrays; see map_bytes in
// lazaretto.quarantine.map_shown.
const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };
const EDGE = 65535;

/** Reads an answer bit by bit, so that who waits for much is told how much came. */
export async function load(address, tell) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(await reason(answer));
  const size = Number(answer.headers.get("Content-Length") ?? 0);
  const reader = answer.body.getReader();
  const parts = [];
  let there = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    there += value.length;
    if (size > 0) tell(`${megabytes(there)} of ${megabytes(size)} MB are here.`);
  }
  return { bytes: await new Blob(parts).arrayBuffer(), headers: answer.headers };
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

async function reason(answer) {
  const text = await answer.text();
  try {
    const told = JSON.parse(text);
    const detail = told.error ?? told.detail;
    if (typeof detail === "string") return detail;
  } catch {
    // No JSON: then the status is all there is to say.
  }
  return `The server answered ${answer.status}.`;
}

/** Head and arrays of a map. */
export function parse(bytes) {
  const size = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, size)));
  const arrays = {};
  let at = 4 + size;
  for (const [name, kind, shape] of head.arrays) {
    const length = shape.reduce((product, each) => product * each, 1);
    arrays[name] = new ARRAYS[kind](bytes, at, length);
    at += Math.ceil(arrays[name].byteLength / 8) * 8;
  }
  return { head, ...arrays };
}

/** Decisions in force: a code for each of the map's held records, and what the codes mean. */
export async function loadDecided(address, position, tell) {
  const { bytes, headers } = await load(address, tell);
  const count = new DataView(bytes).getUint32(0, true);
  const decided = new Uint32Array(bytes.slice(4, 4 + 4 * count));
  const codes = new Uint8Array(bytes, 4 + 4 * count, count);
  const known = headers.get("X-Lazaretto-Actions") ?? "";
  const found = new Uint8Array(position.length).fill(255);
  let at = 0;
  for (let held = 0; held < position.length; held += 1) {
    while (at < count && decided[at] < position[held]) at += 1;
    if (at < count && decided[at] === position[held]) found[held] = codes[at];
  }
  return { actions: known === "" ? [] : known.split(","), codes: found };
}

/** Places in the units of the drawing, -1 to 1. */
export function drawn(places) {
  const found = new Float32Array(places.length);
  for (let each = 0; each < places.length; each += 1) found[each] = (places[each] / EDGE) * 2 - 1;
  return found;
}

/** A lasso of the drawing in the map's units, with at most so many corners, as the API takes it. */
export function corners(lasso, most = 250) {
  const step = Math.max(1, Math.ceil(lasso.length / most));
  const unit = (value) => Math.round(Math.min(1, Math.max(0, (value + 1) / 2)) * EDGE);
  return lasso
    .filter((_, number) => number % step === 0)
    .map(([x, y]) => `${unit(x)},${unit(y)}`)
    .join(",");
}

/** The cells of densities that are not empty, as points: where, of which kind, how dense. */
export function cells(map) {
  const names = ["trusted", "admitted", "held"];
  const size = Math.round(Math.sqrt(map.held.length));
  const x = [];
  const y = [];
  const kind = [];
  const dense = [];
  names.forEach((name, number) => {
    const most = Math.log1p(map[name].reduce((a, b) => Math.max(a, b), 1));
    map[name].forEach((count, cell) => {
      if (count === 0) return;
      x.push((((cell % size) + 0.5) / size) * 2 - 1);
      y.push(((Math.floor(cell / size) + 0.5) / size) * 2 - 1);
      kind.push(number);
      dense.push(Math.log1p(count) / most);
    });
  });
  return {
    x: Float32Array.from(x),
    y: Float32Array.from(y),
    kind: Uint8Array.from(kind),
    dense: Float32Array.from(dense),
  };
}
