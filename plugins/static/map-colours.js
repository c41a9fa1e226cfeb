// What a map's points are coloured by: a number of a colour for each point, and the legend.
// The colours are told apart by people with any kind of sight on light and on dark ground (Okabe and
// Ito, "Color Universal Design"); black and yellow are left out for that.
const KINDS = ["#8893a5", "#2f7fd0", "#d1495b"];
const LABELS = [
  "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#9467bd", "#8c6d31",
  "#17becf", "#e377c2", "#7f9f3f", "#b5651d",
];
const SCORES = ["#4575b4", "#74add1", "#9ac7dd", "#c9b458", "#f0a35e", "#ee7a45", "#d73027"];
const DECISIONS = { RELEASE: "#009e73", REJECT: "#d55e00", RELABEL: "#cc79a7", REWEIGHT: "#56b4e9" };
const GREY = KINDS[0];
const HELD = 2;

function byKind(map) {
  const names = ["trusted", "admitted", "held"];
  const { head } = map;
  const legend = names.map((name, number) => ({
    colour: KINDS[number],
    text: `${name} (${head[name].toLocaleString("en")})`,
  }));
  return { category: map.kind, legend };
}

function byLabel(map) {
  const counts = new Map();
  for (const label of map.label) counts.set(label, (counts.get(label) ?? 0) + 1);
  const known = [...counts.keys()].filter((label) => label < map.head.classes.length);
  known.sort((a, b) => counts.get(b) - counts.get(a) || a - b);
  const chosen = known.slice(0, LABELS.length).sort((a, b) => a - b);
  const number = new Uint8Array(256).fill(chosen.length);
  chosen.forEach((label, each) => {
    number[label] = each;
  });
  number[255] = chosen.length + 1;
  const legend = chosen.map((label, each) => ({
    colour: LABELS[each],
    text: map.head.classes[label],
  }));
  legend.push({ colour: "#6b4f4f", text: "another label" });
  legend.push({ colour: GREY, text: "no label, or not known (admitted records)" });
  return { category: map.label.map((label) => number[label]), legend };
}

function byDecision(map, { actions, codes }) {
  const legend = actions.map((action) => ({
    colour: DECISIONS[action] ?? "#17becf",
    text: action.toLowerCase(),
  }));
  const waiting = legend.length;
  legend.push({ colour: "#e6a700", text: "held, waits for a decision" });
  legend.push({ colour: GREY, text: "not held" });
  const category = new Uint8Array(map.kind.length).fill(waiting + 1);
  const first = map.kind.length - codes.length;
  codes.forEach((code, held) => {
    category[first + held] = code === 255 ? waiting : code & 127;
  });
  return { category, legend };
}

function byScore(map) {
  const steps = SCORES.length;
  const words = (from, to) => `stranger than ${from} to ${to} % of the batch`;
  const percent = (step) => Math.round((100 * step) / steps);
  const legend = SCORES.map((colour, step) => ({
    colour,
    text: words(percent(step), percent(step + 1)),
  }));
  legend.push({ colour: GREY, text: "no score (trusted records)" });
  const category = map.quantile.map((share) =>
    share === 255 ? steps : Math.min(steps - 1, Math.floor((share * steps) / 255)),
  );
  return { category, legend };
}

/** Numbers of colours, one for each point, and what the colours mean. */
export function colours(mode, map, decided) {
  if (mode === "label") return byLabel(map);
  if (mode === "decision") return byDecision(map, decided);
  if (mode === "score") return byScore(map);
  return byKind(map);
}

/** The legend as a list, in words and colours. */
export function showLegend(list, legend) {
  const SVG = "http://www.w3.org/2000/svg";
  list.replaceChildren(
    ...legend.map(({ colour, text }) => {
      const mark = document.createElementNS(SVG, "svg");
      const dot = document.createElementNS(SVG, "circle");
      mark.setAttribute("viewBox", "0 0 10 10");
      mark.setAttribute("aria-hidden", "true");
      for (const [name, value] of [["cx", 5], ["cy", 5], ["r", 5], ["fill", colour]]) {
        dot.setAttribute(name, value);
      }
      mark.append(dot);
      const item = document.createElement("li");
      item.append(mark, text);
      return item;
    }),
  );
}

export { HELD };
