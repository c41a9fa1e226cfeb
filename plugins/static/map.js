// The map of a case: points, colours, and a lasso whose held records become the page's selection.
// Others hear of it by the event lazaretto:select, with the positions of the records; what is
// selected elsewhere is shown here (lazaretto:selected).
import { cells, corners, drawn, load, loadDecided, parse } from "./map-data.js";
import { colours, HELD, showLegend } from "./map-colours.js";
import { showScores } from "./scores.js";

const section = document.getElementById("map");
const said = document.getElementById("map-said");
const canvas = document.getElementById("map-canvas");
const { at } = section.dataset;
const bundled = "bundled" in section.dataset;
const library = (name) => new URL(`./bundled/${name}`, import.meta.url).href;
const CLOSED = "lazaretto-map-closed";
const MOST = 200000;

const tell = (words) => {
  said.textContent = words;
};

function select(positions) {
  if (positions.length === 0) {
    tell("No held record lies there.");
    return;
  }
  if (positions.length > MOST) {
    const number = positions.length.toLocaleString("en");
    tell(`${number} held records lie there: more than can be selected so. Use a filter below.`);
    return;
  }
  const number = positions.length.toLocaleString("en");
  tell(`${number} held record${positions.length === 1 ? "" : "s"} selected on the map.`);
  document.dispatchEvent(
    new CustomEvent("lazaretto:select", { detail: { positions: [...positions] } }),
  );
}

// Where a browser cannot draw it: the density as the server draws it.
function showPicture(words) {
  const picture = document.createElement("img");
  picture.src = `${at}/map.svg`;
  picture.alt = words;
  document.getElementById("map-picture").replaceChildren(picture);
}

function number(value) {
  return Number.parseInt(value, 10) / 255;
}

function ground() {
  const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/\d+/g);
  return [number(red), number(green), number(blue), 1];
}

function hasWebGL() {
  const probe = document.createElement("canvas");
  return probe.getContext("webgl") !== null;
}

class Shown {
  constructor(map, plot) {
    this.map = map;
    this.plot = plot;
    this.grid = map.head.shown === "grid";
    this.points = this.grid ? cells(map) : { x: drawn(map.x), y: drawn(map.y), kind: map.kind };
    this.selected = new Set();
    this.first = this.grid ? 0 : map.kind.length - map.position.length;
  }

  async colour(mode) {
    const { category, legend } = colours(mode, { ...this.map, kind: this.points.kind }, this.decided);
    this.plot.set({ pointColor: legend.map(({ colour }) => colour) });
    const { x, y, dense } = this.points;
    const points = { x, y, z: Float32Array.from(category) };
    if (this.grid) points.w = dense;
    await this.plot.draw(points, { zDataType: "categorical", wDataType: "continuous" });
    showLegend(document.getElementById("map-legend"), legend);
  }

  async loadDecided() {
    const known = { actions: [], codes: new Uint8Array(this.map.position?.length ?? 0).fill(255) };
    this.decided = known;
    if (this.grid || section.dataset.decided === "0") return; // nothing is decided
    this.decided = await loadDecided(`${at}/map/decided`, this.map.position, tell);
  }

  // Indices of points are the library's; positions in the batch are everybody's.
  taken(indices) {
    const { kind, position } = this.map;
    const { codes } = this.decided;
    const published = (held) => codes[held] >= 128 && codes[held] !== 255;
    return indices
      .filter((index) => kind[index] === HELD && !published(index - this.first))
      .map((index) => position[index - this.first]);
  }

  show(positions) {
    this.selected = positions;
    if (this.grid) return;
    const { position } = this.map;
    const indices = [];
    position.forEach((each, held) => {
      if (positions.has(each)) indices.push(this.first + held);
    });
    if (indices.length > 0) this.plot.select(indices, { preventEvent: true });
    else this.plot.deselect({ preventEvent: true });
  }

  apart() {
    const { apart, position } = this.map;
    return [...position].filter((_, held) => apart[held] === 1);
  }
}

async function lassoOnGrid(lasso) {
  tell("Looking up what lies there…");
  try {
    const polygon = encodeURIComponent(corners(lasso));
    const { bytes } = await load(`${at}/map/inside?polygon=${polygon}`, () => {});
    const { records, positions } = JSON.parse(new TextDecoder().decode(bytes));
    select(positions ?? { length: records });
  } catch (error) {
    tell(error.message);
  }
}

function wire(shown, plot) {
  const mode = document.getElementById("map-colour");
  const lasso = document.getElementById("map-lasso");
  const move = document.getElementById("map-move");
  const apart = document.getElementById("map-apart");
  const use = (moving) => {
    // A wheel over the map scrolls the page, unless somebody wants to zoom.
    plot.set({ mouseMode: moving ? "panZoom" : "lasso", cameraIsFixed: !moving });
    lasso.setAttribute("aria-pressed", String(!moving));
    move.setAttribute("aria-pressed", String(moving));
  };
  if (shown.grid) {
    for (const option of [...mode.options].slice(1)) option.remove();
    apart.hidden = true;
    plot.subscribe("lassoEnd", ({ coordinates }) => {
      if (coordinates.length > 2) lassoOnGrid(coordinates);
    });
  } else {
    plot.subscribe("select", ({ points }) => {
      const positions = shown.taken(points);
      select(positions);
      // Whoever only looks has no selection on the page; there the map alone shows what it took.
      if (positions.length === 0) shown.show(shown.selected);
    });
    apart.addEventListener("click", () => select(shown.apart()));
    document.addEventListener("lazaretto:selected", (event) => shown.show(event.detail.positions));
  }
  mode.addEventListener("change", async () => {
    try {
      await shown.colour(mode.value);
    } catch (error) {
      tell(error.message);
    }
  });
  lasso.addEventListener("click", () => use(false));
  move.addEventListener("click", () => use(true));
  document.getElementById("map-whole").addEventListener("click", () => plot.reset());
  document.addEventListener("lazaretto:theme", () => plot.set({ backgroundColor: ground() }));
  use(false);
}

async function drawMap(map) {
  const { createScatterplot } = await import(library("scatterplot.js"));
  document.getElementById("map-shown").hidden = false;
  canvas.setAttribute("aria-label", map.head.words);
  const many = map.head.shown === "grid" ? 100_000 : map.kind.length;
  const plot = createScatterplot({
    canvas,
    backgroundColor: ground(),
    colorBy: "valueA",
    opacityBy: map.head.shown === "grid" ? "valueB" : null,
    opacity: map.head.shown === "grid" ? [0.15, 0.4, 0.7, 1] : 0.8,
    pointSize: many > 50_000 ? 2 : many > 5_000 ? 3 : 5,
    pointColorActive: getComputedStyle(document.body).color === "rgb(27, 35, 48)" ? "#111" : "#fff",
    lassoInitiator: false,
    lassoOnLongPress: false,
    // A worker of a made-up address is what the content security policy forbids.
    spatialIndexUseWorker: false,
  });
  const shown = new Shown(map, plot);
  await shown.loadDecided();
  await shown.colour("kind");
  wire(shown, plot);
  section.dataset.ready = "";
}

async function start() {
  tell("Loading the map: the server places every record…");
  try {
    const { bytes } = await load(`${at}/map`, (words) => tell(`Loading the map: ${words}`));
    const map = parse(bytes);
    document.getElementById("map-words").textContent = map.head.words;
    if (bundled && hasWebGL()) {
      tell("Drawing the map…");
      await drawMap(map);
      tell("");
    } else {
      showPicture(map.head.words);
      tell(bundled ? "This browser has no WebGL: the map is a picture." : "");
    }
  } catch (error) {
    tell(error.message);
  }
  await showScores(at, bundled ? library("uplot.js") : null);
}

section.open = sessionStorage.getItem(CLOSED) === null;
section.addEventListener("toggle", () => {
  if (section.open) sessionStorage.removeItem(CLOSED);
  else sessionStorage.setItem(CLOSED, "1");
  if (section.open && !("started" in section.dataset)) {
    section.dataset.started = "";
    start();
  }
});
if (section.open && !("started" in section.dataset)) {
  section.dataset.started = "";
  start();
} else if (!section.open) tell("");
