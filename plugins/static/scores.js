// The histogram of a batch's scores, with the point from which records are held.
const chart = document.getElementById("scores-chart");

const numbers = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const short = (value) => numbers.format(value);

/** Where a score lies between bins: 2.5 is the middle of bin 2. */
function place(edges, score) {
  const bin = edges.findIndex((edge, number) => number > 0 && score <= edge) - 1;
  if (bin < 0) return score <= edges[0] ? 0 : edges.length - 1;
  return bin + (score - edges[bin]) / (edges[bin + 1] - edges[bin] || 1);
}

function table(scores) {
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  for (const text of ["Score", "Held", "Not held"]) {
    const cell = document.createElement("th");
    cell.textContent = text;
    head.append(cell);
  }
  const body = made.createTBody();
  scores.held.forEach((held, bin) => {
    if (held + scores.others[bin] === 0) return;
    const row = body.insertRow();
    const range = `${short(scores.edges[bin])} to ${short(scores.edges[bin + 1])}`;
    for (const text of [range, held, scores.others[bin]]) row.insertCell().textContent = text;
  });
  return made;
}

function line(scores, colour) {
  return {
    hooks: {
      draw(plot) {
        if (scores.threshold === null) return;
        const x = plot.valToPos(place(scores.edges, scores.threshold), "x", true);
        const { ctx, bbox } = plot;
        ctx.save();
        ctx.strokeStyle = colour;
        ctx.lineWidth = 2 * devicePixelRatio;
        ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.restore();
      },
    },
  };
}

async function draw(scores, address) {
  const { default: Plot } = await import(address);
  const style = getComputedStyle(document.body);
  const ink = style.color;
  const bars = Plot.paths.bars({ size: [1, 100] });
  const bins = scores.held.map((_, bin) => bin + 0.5);
  const together = scores.held.map((held, bin) => held + scores.others[bin]);
  const axis = { stroke: ink, grid: { stroke: "#8886", width: 1 }, ticks: { stroke: "#8886" } };
  chart.replaceChildren();
  const width = () => Math.max(240, Math.min(960, chart.parentElement.clientWidth));
  const plot = new Plot(
    {
      width: width(),
      height: 220,
      padding: [8, 28, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      scales: { x: { time: false, range: [0, bins.length] }, y: { distr: 4, range: [0, null] } },
      axes: [
        {
          ...axis,
          label: "score",
          values: (_, ticks) => ticks.map((tick) => short(scores.edges[Math.round(tick)] ?? 0)),
        },
        {
          ...axis,
          label: "records",
          values: (_, ticks) =>
            ticks.map((tick) =>
              tick !== null && tick >= 0 && Math.log10(tick || 1) % 1 === 0 ? short(tick) : null,
            ),
        },
      ],
      series: [
        {},
        { label: "held", fill: "#d1495b", width: 0, paths: bars, points: { show: false } },
        { label: "others", fill: "#2f7fd0", width: 0, paths: bars, points: { show: false } },
      ],
      plugins: [line(scores, ink)],
    },
    [bins, together, scores.others],
    chart,
  );
  plot.root.setAttribute("role", "img");
  plot.root.setAttribute("aria-label", scores.words);
  new ResizeObserver(() => plot.setSize({ width: width(), height: 220 })).observe(
    chart.parentElement,
  );
}

/** Shows it: as a chart, or as a table where the library is not there. */
export async function showScores(at, library) {
  const answer = await fetch(`${at}/scores`, { credentials: "same-origin" });
  if (!answer.ok) return; // that there was no screening is what the map says already
  const scores = await answer.json();
  const legend = "Red: held by screening; blue: not held; the dashed line: the stated rate. ";
  document.getElementById("scores-words").textContent = (library ? legend : "") + scores.words;
  document.getElementById("scores").hidden = false;
  if (library === null) {
    chart.replaceChildren(table(scores));
    return;
  }
  await draw(scores, library);
  document.addEventListener("lazaretto:theme", () => draw(scores, library));
}
